"""Towers trained once per configuration and kept for a benchmark that goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from ecclip.atomic import canonical_json, sha256_bytes
from ecclip.bench.quality.data import Product
from ecclip.bench.quality.evaluated import embedded, groups_of
from ecclip.formats.bundle import TOWERS
from ecclip.formats.sampling import smallest_hashes
from ecclip.model import Towers, TowersConfig, build_towers, load_towers, save_towers
from ecclip.train import (
    SINGLE_PROCESS,
    Interpolation,
    Labelled,
    Probe,
    Trainer,
    TrainerConfig,
    choose_photo_size,
    open_pairs,
    retrieval_metrics,
)

_PROBE_LISTINGS = 2000  # to learn from, and half as many to measure on; by judgment


def folder_of(work: Path, name: str, cfg: TrainerConfig, towers_cfg: TowersConfig) -> Path:
    """Return the folder of a training: another configuration of the same name has another one."""
    digest = sha256_bytes(canonical_json([asdict(cfg), asdict(towers_cfg)]).encode())
    return work / f"{re.sub('[^a-z0-9]+', '-', name)}-{digest[:8]}"


def trained(
    folder: Path, shards: Path, towers_cfg: TowersConfig, cfg: TrainerConfig, products: Sequence[Product] = ()
) -> Towers:
    """Return towers trained on shards, from ``folder`` if they are there, as the engine leaves them otherwise.

    How far they move from the start, and the size of their photos, is chosen on ``products`` of splits train and
    validation. Trainings that differ in these alone are one, kept beside ``folder``.
    """
    if (folder / TOWERS / "towers.json").is_file():
        return load_towers(folder / TOWERS)
    towers = build_towers(towers_cfg)
    interpolation = Interpolation(dict(towers.named_parameters()))
    towers.load_state_dict(_at_the_end(folder.parent, shards, towers_cfg, cfg, products).state_dict())
    probe = partial(probe_of(products), towers)
    interpolation.choose(cfg.shares, probe, SINGLE_PROCESS)
    choose_photo_size(towers, cfg.photo_scales, probe, SINGLE_PROCESS)
    save_towers(towers, folder / TOWERS)
    return towers


def _at_the_end(
    work: Path, shards: Path, towers_cfg: TowersConfig, cfg: TrainerConfig, products: Sequence[Product]
) -> Towers:
    """Return the towers as the last step left them, going on from the newest checkpoint where there is one."""
    whole = replace(cfg, weight_interpolation=0.0, interpolation_shares=(0.0,), photo_scales=())
    folder = folder_of(work, "last step", whole, towers_cfg)
    if (folder / TOWERS / "towers.json").is_file():
        return load_towers(folder / TOWERS)
    towers, pairs = build_towers(towers_cfg), open_pairs(shards, folder)
    validate = None if cfg.patience is None else partial(_retrieval, products)
    threads = torch.get_num_threads()
    Trainer(towers, pairs, towers.preprocessor(), whole, folder / "steps", threads=threads, validate=validate).run()
    pairs.close()
    save_towers(towers, folder / TOWERS)
    return towers


def _retrieval(products: Sequence[Product], towers: Towers) -> dict[str, float]:
    """Return recall among the listings of split validation, by which a training knows when to stop."""
    held = [one for one in products if one.split == "validation"]
    return retrieval_metrics(*embedded(towers, held), groups_of(held))


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
