"""Where products are photographed: background, light, watermark and badge of a seller, each made once per process."""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from ecclip.sample.canvas import Color, font

Size = tuple[int, int]
_PASTELS: tuple[Color, ...] = (
    (246, 226, 222), (222, 236, 246), (226, 242, 226), (250, 240, 214), (236, 226, 244), (228, 228, 232),
)  # fmt: skip
_WALLS: tuple[Color, ...] = ((226, 220, 208), (206, 214, 216), (238, 232, 226), (196, 204, 188))
_FLOORS: tuple[Color, ...] = ((176, 138, 98), (140, 104, 72), (198, 172, 138), (150, 150, 150))


@lru_cache(maxsize=96)
def background(kind: str, key: str, size: Size) -> Image.Image:
    """Return the backdrop of a seller's photos; ``key`` seeds its colours."""
    rng = Random(f"scene/{kind}/{key}")
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    x, y = x / size[0], y / size[1]
    if kind == "room":
        level = _room(x, y, rng)
    elif kind == "table":
        level = _table(x, y, rng)
    elif kind == "stone":
        level = _stone(x, y, size, rng)
    else:
        base = np.array((250, 250, 250) if kind == "studio" else rng.choice(_PASTELS), dtype=np.float32)
        if kind == "spotlight":
            base = np.array(rng.choice(((96, 104, 120), (120, 104, 96), (84, 110, 104))), dtype=np.float32)
        distance = np.hypot(x - 0.5, y - rng.uniform(0.4, 0.55))
        fall = {"studio": 0.1, "pastel": 0.3, "spotlight": 0.85}[kind]
        level = base[None, None] * (1.06 - fall * distance**1.4)[..., None]
    return Image.fromarray(np.clip(level, 0, 255).astype(np.uint8))


def _room(x: np.ndarray, y: np.ndarray, rng: Random) -> np.ndarray:
    wall, floor = np.array(rng.choice(_WALLS), np.float32), np.array(rng.choice(_FLOORS), np.float32)
    line = rng.uniform(0.66, 0.78)
    planks = 1 - 0.08 * ((x - 0.5) / (y - line + 0.25) * 7 % 1 < 0.05)
    level = np.where(
        (y < line)[..., None],
        wall * (0.92 + 0.12 * (1 - y))[..., None],
        floor * (planks * (0.75 + 0.35 * y))[..., None],
    )
    return np.where((np.abs(y - line) < 0.012)[..., None], np.float32(244), level)


def _table(x: np.ndarray, y: np.ndarray, rng: Random) -> np.ndarray:
    wood = np.array(rng.choice(_FLOORS[:3]), np.float32)
    turns = rng.uniform(0, 9)
    grain = np.sin(y * 70 + 3 * np.sin(x * 5 + turns) + turns) * 0.05 + np.sin(y * 23 + np.sin(x * 3) * 2) * 0.05
    seams = 1 - 0.25 * ((y * 5 + turns) % 1 < 0.025)
    return wood[None, None] * ((1.02 + grain) * seams)[..., None]


def _stone(x: np.ndarray, y: np.ndarray, size: Size, rng: Random) -> np.ndarray:
    seed = rng.randrange(1 << 30)
    clouds = np.random.default_rng(seed).standard_normal((7, 7)).astype(np.float32)
    soft = np.asarray(Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC))
    veins = np.exp(-np.abs(np.sin(6 * (x + 0.6 * y) + 2 * soft)) * 14)
    return np.array((232, 230, 226), np.float32)[None, None] * (1 + 0.03 * soft - 0.08 * veins)[..., None]


@lru_cache(maxsize=96)
def light(key: str, size: Size) -> Image.Image:
    """Return the light that falls on a seller's photos from one side, for multiplying."""
    rng = Random(f"light/{key}")
    angle, depth = rng.uniform(0, 2 * math.pi), rng.uniform(0.03, 0.2)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    slope = (x / size[0] - 0.5) * math.cos(angle) + (y / size[1] - 0.5) * math.sin(angle)
    warm = np.array((1.0, 1.0 - rng.uniform(0, 0.03), 1.0 - rng.uniform(0, 0.08)), np.float32)
    level = 255 * (1 - depth * (0.5 + slope))[..., None] * warm
    return Image.fromarray(np.clip(level, 0, 255).astype(np.uint8))


@lru_cache(maxsize=96)
def watermark(name: str, size: Size) -> Image.Image:
    """Return how strongly (0-255) a seller's name shows over the photo."""
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).text((size[0] / 2, size[1] / 2), name, fill=120, font=font(size[0] // 9), anchor="mm")
    return mask.rotate(28, Image.Resampling.BILINEAR)


@lru_cache(maxsize=8)
def badge(words: str, size: Size) -> Image.Image:
    """Return a round promotion badge as RGBA."""
    side = min(size) // 4
    picture = Image.new("RGBA", (side * 2, side * 2), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((2, 2, side * 2 - 3, side * 2 - 3), fill=(214, 30, 44, 255), outline=(255, 236, 170, 255), width=5)
    pen.text((side, side), words, fill=(255, 255, 255, 255), font=font(side // 2), anchor="mm", align="center")
    return picture.reduce(2)


@lru_cache(maxsize=4)
def placeholder(variant: int, side: int) -> Image.Image:
    """Return the picture that a shop shows where there is none."""
    picture = Image.new("RGB", (side, side), ((228, 228, 230), (245, 240, 232))[variant % 2])
    pen, ink, unit = ImageDraw.Draw(picture), (168, 170, 176), side / 20
    pen.rounded_rectangle((5 * unit, 6 * unit, 15 * unit, 13 * unit), unit, outline=ink, width=max(2, side // 80))
    pen.ellipse((8 * unit, 7.5 * unit, 12 * unit, 11.5 * unit), outline=ink, width=max(2, side // 80))
    words = ("NO IMAGE", "image coming soon")[variant % 2]
    pen.text((side / 2, 15.5 * unit), words, fill=ink, font=font(side // 14), anchor="mm")
    return picture
