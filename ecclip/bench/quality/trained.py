"""Towers trained once per configuration and kept for a benchmark that goes on."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import torch

from ecclip.atomic import canonical_json, sha256_bytes
from ecclip.formats.bundle import TOWERS
from ecclip.model import Towers, TowersConfig, build_towers, load_towers, save_towers
from ecclip.train import Trainer, TrainerConfig, open_pairs


def folder_of(work: Path, name: str, cfg: TrainerConfig, towers_cfg: TowersConfig) -> Path:
    """Return the folder of a training: another configuration of the same name has another one."""
    digest = sha256_bytes(canonical_json([asdict(cfg), asdict(towers_cfg)]).encode())
    return work / f"{re.sub('[^a-z0-9]+', '-', name)}-{digest[:8]}"


def trained(folder: Path, shards: Path, towers_cfg: TowersConfig, cfg: TrainerConfig) -> Towers:
    """Return towers trained on shards, from ``folder`` if they are there, from its newest checkpoint otherwise."""
    if (folder / TOWERS / "towers.json").is_file():
        return load_towers(folder / TOWERS)
    towers = build_towers(towers_cfg)
    pairs = open_pairs(shards, folder)
    Trainer(towers, pairs, towers.preprocessor(), cfg, folder / "steps", threads=torch.get_num_threads()).run()
    pairs.close()
    save_towers(towers, folder / TOWERS)
    return towers
