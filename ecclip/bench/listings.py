"""Synthetic listings for timing: photos that decode like real ones, titles of realistic length."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

from ecclip.formats import shards
from ecclip.formats.columns import CATEGORY_KEY, GROUP_ID
from ecclip.model import Preprocessor
from ecclip.train import Batch

_SIDE = 256  # shorter side of a snapshot's photos
_QUALITY = 90  # JPEG; as in `clean.jpeg_quality`
_VOCABULARY = """
black white red navy olive cotton wool linen leather steel slim loose washed printed striped plain women men kids
summer winter running office outdoor shirt dress jacket jeans sneaker boot bag watch lamp chair mug pan set pack
size large small medium new original classic premium with for and
"""
_WORDS = _VOCABULARY.split()


def write_shards(folder: Path, pairs: int, *, photos: int, seed: int = 0) -> None:
    """Write ``pairs`` listings with so many different photos as shards of a snapshot: a Parquet file and its index."""
    chance = np.random.default_rng(seed)
    drawn = [photo(chance) for _ in range(photos)]
    rows = [_listing(number, chance) | {"image": drawn[number % photos]} for number in range(pairs)]
    shards.write_shards(folder, rows)


def photos_and_titles(listings: int, seed: int = 0) -> tuple[list[bytes], list[str]]:
    """Return a photo and a title of each of so many listings."""
    chance = np.random.default_rng(seed)
    return [photo(chance) for _ in range(listings)], [_title(chance) for _ in range(listings)]


def random_batch(size: int, preprocessor: Preprocessor, seed: int = 0) -> Batch:
    """Return a batch of noise and of made-up titles, every pair its own group; suitable for timing only."""
    chance = np.random.default_rng(seed)
    side = preprocessor.image_size
    pixels = torch.from_numpy(chance.integers(0, 256, (size, 3, side, side), dtype=np.uint8))
    ids, mask = preprocessor.tokens([_title(chance) for _ in range(size)])
    return Batch(pixels, torch.from_numpy(ids), torch.from_numpy(mask), torch.arange(size))


def photo(chance: np.random.Generator, side: int = _SIDE) -> bytes:
    """Return a JPEG of shapes, soft light and grain whose size is that of a product photo."""
    width, height = side, int(side * chance.choice([1.0, 1.25]))
    low = chance.integers(60, 256, (4, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC)
    pencil = ImageDraw.Draw(picture)
    for _ in range(12):
        left, top = chance.integers(0, width), chance.integers(0, height)
        box = [int(left), int(top), int(left + chance.integers(8, 120)), int(top + chance.integers(8, 120))]
        (pencil.ellipse if chance.random() < 0.5 else pencil.rectangle)(
            box, fill=tuple(chance.integers(0, 256, 3).tolist())
        )
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.int16)
    grain = chance.integers(-9, 10, soft.shape, dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _listing(number: int, chance: np.random.Generator) -> dict[str, object]:
    return {
        "listing_id": f"l{number:07d}",
        GROUP_ID: f"g{number:07d}",
        CATEGORY_KEY: f"c{number % 20}",
        "title": _title(chance),
        "brand": str(chance.choice(_WORDS)),
        "attributes": [("colour", str(chance.choice(_WORDS))), ("material", str(chance.choice(_WORDS)))],
    }


def _title(chance: np.random.Generator) -> str:
    return " ".join(chance.choice(_WORDS, int(chance.integers(4, 24))))
