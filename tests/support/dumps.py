"""Small dumps for tests: rows and photo files in, a finished Dump v1 folder out."""

from __future__ import annotations

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

NOUNS = {"mug": ["home", "mugs"], "lamp": ["home", "lamps"], "boots": ["fashion", "shoes"], "juice": ["food", "drinks"]}


def write_dump(folder: Path, rows: list[Any], photos: dict[str, bytes] | None = None, files: int = 1) -> Path:
    """Write rows (a dict, or text for a raw line) over ``files`` listing files and the photos by their URI."""
    folder.mkdir(parents=True)
    for uri, data in (photos or {}).items():
        (folder / uri).parent.mkdir(parents=True, exist_ok=True)
        (folder / uri).write_bytes(data)
    for number in range(files):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows[number::files]]
        data = gzip.compress("".join(line + "\n" for line in lines).encode(), mtime=0)
        (folder / f"listings-{number:04d}.jsonl.gz").write_bytes(data)
    (folder / "_SUCCESS").touch()
    return folder


def market(products: int, seed: int = 0) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return rows and photos of a small market, 1-3 listings per product; the listing_id's prefix names it."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = []
    photos: dict[str, bytes] = {}
    for product in range(products):
        noun = chance.choice(list(NOUNS))
        brand, model, price = (
            chance.choice(["Arvo", "Belmo", "Cint"]),
            chance.randrange(100, 1000),
            chance.uniform(5, 50),
        )
        for offer in range(chance.randrange(1, 4)):
            listing = f"p{product:03d}-{offer}"
            words = [brand, "Nova", str(model), noun, chance.choice(["", "new", "sale"])]
            rows.append(
                {
                    "listing_id": listing,
                    "seller_id": f"s{chance.randrange(6)}",
                    "title": " ".join(words).strip(),
                    "category": NOUNS[noun],
                    "brand": brand,
                    "price": f"{price:.2f}",
                    "currency": "EUR",
                    "updated_at": f"2026-01-{chance.randrange(1, 28):02d}T00:00:00+00:00",
                    "deleted": False,
                    "image_uri": f"images/{listing}.jpg",
                }
            )
            photos[f"images/{listing}.jpg"] = picture(seed * 10_000 + product)
    return rows, photos


def picture(seed: int, size: tuple[int, int] = (96, 80), kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """Return an encoded picture of a few random shapes; equal seeds give equal bytes."""
    chance = random.Random(seed)
    image = Image.new("RGB", size, (240, 240, 235))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        left, top = chance.randrange(size[0] - 20), chance.randrange(size[1] - 20)
        colour = tuple(chance.randrange(256) for _ in range(3))
        draw.ellipse([left, top, left + chance.randrange(10, 60), top + chance.randrange(10, 60)], fill=colour)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, kind)
    return buffer.getvalue()
