"""Towers trained once per configuration and kept for a benchmark that goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ecclip.atomic import canonical_json, sha256_bytes
from ecclip.bench.quality.data import Product
from ecclip.formats.bundle import TOWERS
from ecclip.formats.sampling import smallest_hashes
from ecclip.model import Towers, TowersConfig, build_towers, load_towers, save_towers
from ecclip.train import Labelled, Probe, Trainer, TrainerConfig, open_pairs

_PROBE_LISTINGS = 2000  # to learn from, and half as many to measure on; by judgment


def folder_of(work: Path, name: str, cfg: TrainerConfig, towers_cfg: TowersConfig) -> Path:
    """Return the folder of a training: another configuration of the same name has another one."""
    digest = sha256_bytes(canonical_json([asdict(cfg), asdict(towers_cfg)]).encode())
    return work / f"{re.sub('[^a-z0-9]+', '-', name)}-{digest[:8]}"


def trained(
    folder: Path, shards: Path, towers_cfg: TowersConfig, cfg: TrainerConfig, products: Sequence[Product] = ()
) -> Towers:
    """Return towers trained on shards, from ``folder`` if they are there, from its newest checkpoint otherwise.

    How far they move from the start is chosen on ``products`` of splits train and validation.
    """
    if (folder / TOWERS / "towers.json").is_file():
        return load_towers(folder / TOWERS)
    towers = build_towers(towers_cfg)
    pairs = open_pairs(shards, folder)
    threads = torch.get_num_threads()
    steps = folder / "steps"
    Trainer(towers, pairs, towers.preprocessor(), cfg, steps, threads=threads, probe=probe_of(products)).run()
    pairs.close()
    save_towers(towers, folder / TOWERS)
    return towers


def probe_of(products: Sequence[Product]) -> Probe:
    """Return the probe by which a training chooses, on ``products`` of splits train and validation."""
    return Probe(lambda: _labelled(products), torch.get_num_threads())


def _labelled(products: Sequence[Product]) -> tuple[list[Labelled], list[Labelled]]:
    train, held = (
        _sample([one for one in products if one.split == split], most)
        for split, most in (("train", _PROBE_LISTINGS), ("validation", _PROBE_LISTINGS // 2))
    )
    return train, held


def _sample(products: Sequence[Product], most: int) -> list[Labelled]:
    kept = sorted(smallest_hashes([one.listing_id for one in products], most))
    return [
        Labelled(products[row].image, products[row].title, products[row].group, products[row].labels) for row in kept
    ]
