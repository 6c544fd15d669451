"""Towers on disk: three self-contained files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ecclip.atomic import canonical_json, write_atomic
from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.design import Design
from ecclip.model.text import portable_config, text_encoder_from_config
from ecclip.model.towers import Towers
from ecclip.model.vision import build_image_encoder
from ecclip.product_input import CanonicalPhoto, Preprocessor

SCHEMA = "ecclip.towers/1"
DESCRIPTION, WEIGHTS, TOKENIZER = "towers.json", "towers.safetensors", "tokenizer.json"


def save_towers(towers: Towers, folder: Path) -> None:
    """Write ``towers.json``, ``towers.safetensors`` and ``tokenizer.json``; equal towers give equal bytes."""
    cfg = asdict(towers.cfg.portable())
    description: dict[str, Any] = {"schema": SCHEMA, "config": cfg, "text_config": portable_config(towers.text_encoder)}
    if towers.photo_size != towers.cfg.image_size:
        description["photo_size"] = towers.photo_size
    if towers.cfg.start is not None:
        description["design"] = towers.design.to_dict()
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in towers.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(state))
    write_atomic(folder / TOKENIZER, towers.tokenizer)
    write_atomic(folder / DESCRIPTION, canonical_json(description))


def load_towers(folder: Path) -> Towers:
    """Return the towers of a folder in evaluation mode, on the CPU; needs no package folder and no hub.

    Raises:
        ModelError: a file is missing or is not what this version writes.
    """
    cfg, text_config, design, photo_size = _read_description(folder)
    with torch.random.fork_rng(devices=[]):
        image_encoder = build_image_encoder(cfg, design, weights=False)
        text_encoder = text_encoder_from_config(cfg, text_config, design)
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    towers = Towers(cfg, image_encoder, text_encoder, tokenizer, design)
    towers.photo_size = photo_size
    try:
        state = load((folder / WEIGHTS).read_bytes())
        dtype = state["logit_scale"].dtype
        if "logit_bias" in state:
            towers.add_logit_bias()
        towers.to(dtype).load_state_dict(state)
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise ModelError(
            "towers.safetensors does not fit towers.json",
            value=folder,
            limit=str(error)[:300],
            next_step="save the towers again: these two files are not of one training",
        ) from error
    return towers


def load_preprocessor(folder: Path, canonical: CanonicalPhoto = CanonicalPhoto()) -> Preprocessor:  # noqa: B008 - frozen
    """Return the preprocessing that belongs to the towers of a folder.

    ``canonical`` is what a photo as the shop has it becomes first; who reads a snapshot has canonical photos already.
    """
    cfg, _, design, photo_size = _read_description(folder)
    return Preprocessor(photo_size, cfg.max_tokens, folder / TOKENIZER, canonical, design.reading)


def _read_description(folder: Path) -> tuple[TowersConfig, dict[str, object], Design, int]:
    for name in (DESCRIPTION, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise ModelError("a file of the towers is missing", value=folder / name, next_step="save them again")
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        schema, values, text_config = (description[name] for name in ("schema", "config", "text_config"))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "towers.json cannot be read", value=folder / DESCRIPTION, next_step="save the towers again"
        ) from error
    if schema != SCHEMA:
        raise ModelError(
            "towers of another version",
            value=schema,
            limit=SCHEMA,
            next_step="train again, or use the version of ecclip that saved them",
        )
    design = Design.from_dict(description["design"]) if "design" in description else Design()
    cfg = TowersConfig.from_dict(values)
    return cfg, text_config, design, int(description.get("photo_size", cfg.image_size))
