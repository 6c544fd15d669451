"""The systems with towers: which towers they are, made once for a shop and kept, and what they give out of listings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ecclip.bench.quality import kept
from ecclip.bench.quality.data import write_shards
from ecclip.bench.quality.evaluated import photo_outputs, rows_of, title_outputs
from ecclip.bench.quality.trained import folder_of, trained
from ecclip.bench.result import OURS
from ecclip.bench.tasks.cells import FROZEN, SUPERVISED, frozen
from ecclip.bench.tasks.photos.shops import Shop
from ecclip.bench.tasks.photos.supervised import fine_tuned
from ecclip.core import settings
from ecclip.formats.snapshot import SHARDS
from ecclip.model import Towers, TowersConfig, build_towers
from ecclip.tasks import Rows
from ecclip.train import TrainerConfig, keep_freed_memory

LARGE = 224  # pixels of a photo beside the size of the default towers
DIM = TowersConfig().embedding_dim
FROZEN_SIZES = (frozen(TowersConfig().image_size), frozen(LARGE))


def rows_by(system: str, shop: Shop, work: Path) -> Rows:
    """Return the listings of a shop as the heads of a system read them."""
    size = _size(system, shop, work)
    outputs = {f"{size}": photos_by(system, shop, shop, work), "text": titles_by(system, shop, work)}
    return rows_of(shop.products, outputs, size, DIM, shop.split)


def photos_by(system: str, shop: Shop, asked: Shop, work: Path) -> np.ndarray:
    """Return embedding and features, float32 [N, DIM + w], of photos ``asked`` by the towers of a shop."""
    size = _size(system, shop, work)

    def make() -> dict[str, np.ndarray]:
        towers = towers_of(system, shop, work)
        return {"image": photo_outputs(towers, [one.image for one in asked.products], size)}

    return kept(_folder(system, shop, work) / f"photos-{asked.name}-{size}.npz", make)["image"]


def titles_by(system: str, shop: Shop, work: Path) -> np.ndarray:
    """Return embedding and features, float32 [N, DIM + w], of the titles of a shop by its towers."""

    def make() -> dict[str, np.ndarray]:
        return {"text": title_outputs(towers_of(system, shop, work), [one.title for one in shop.products])}

    return kept(_folder(system, shop, work) / f"titles-{shop.name}.npz", make)["text"]


def towers_of(system: str, shop: Shop, work: Path) -> Towers:
    """Return the towers of a system for a shop: as training starts, or trained on its split train."""
    torch.set_num_threads(settings().torch_threads)
    if system.startswith(FROZEN) or not _has_photos(shop):
        return build_towers(TowersConfig())
    keep_freed_memory()
    folder = _folder(system, shop, work)
    train = [one for one in shop.products if one.split == "train"]
    shards = work / "photos" / shop.name / SHARDS
    write_shards(train, shards)
    if system == OURS:
        return trained(folder, shards, TowersConfig(), TrainerConfig(), shop.products)
    return fine_tuned(folder, shards, TowersConfig(), TrainerConfig(), train)


def _folder(system: str, shop: Shop, work: Path) -> Path:
    own = work / "photos" / shop.name
    is_trained = system in (OURS, SUPERVISED) and _has_photos(shop)
    return folder_of(own, system, TrainerConfig(), TowersConfig()) if is_trained else own / "start"


def _has_photos(shop: Shop) -> bool:
    """Whether there is something to train on: a shop without photos is served by the start."""
    return any(one.image for one in shop.products)


def _size(system: str, shop: Shop, work: Path) -> int:
    if system == OURS:
        return towers_of(system, shop, work).photo_size
    return LARGE if system == frozen(LARGE) else TowersConfig().image_size
