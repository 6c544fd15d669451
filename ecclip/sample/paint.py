"""What a product's surface looks like: a colour, a pattern woven into it and the grain of its material."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from ecclip.sample.canvas import SIZE, Color

GLOSSY = frozenset({"leather", "ceramic", "glass", "steel", "plastic", "rubber", "silk", "nylon", "micarta"})


def paint(color: Color, second: Color, pattern: str, material: str, rng: Random) -> Image.Image:
    """Return a canvas-sized surface."""
    surface = Image.new("RGB", (SIZE, SIZE), color)
    pen = ImageDraw.Draw(surface)
    step = rng.choice((34, 44, 56))
    if pattern == "striped":
        _stripes(pen, second, step, rng.choice(("across", "down", "slant")))
    elif pattern == "dotted":
        _dots(pen, second, step)
    elif pattern == "checked":
        surface = _checks(surface, second, step)
    grain = _grain(material)
    return surface if grain is None else ImageChops.overlay(surface, grain)


def _stripes(pen: ImageDraw.ImageDraw, color: Color, step: int, way: str) -> None:
    for start in range(-SIZE if way == "slant" else 0, SIZE, step):
        if way == "across":
            pen.rectangle((0, start, SIZE, start + step * 0.42), fill=color)
        elif way == "down":
            pen.rectangle((start, 0, start + step * 0.42, SIZE), fill=color)
        else:
            pen.line((start, 0, start + SIZE, SIZE), fill=color, width=int(step * 0.36))


def _dots(pen: ImageDraw.ImageDraw, color: Color, step: int) -> None:
    radius = step * 0.24
    for row, y in enumerate(range(0, SIZE + step, step)):
        for x in range((row % 2) * step // 2, SIZE + step, step):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def _checks(surface: Image.Image, color: Color, step: int) -> Image.Image:
    bands = Image.new("L", (SIZE, SIZE), 0)
    pen = ImageDraw.Draw(bands)
    for start in range(0, SIZE, step):
        pen.rectangle((start, 0, start + step // 2, SIZE), fill=125)
    surface.paste(color, (0, 0), ImageChops.add(bands, bands.transpose(Image.Transpose.TRANSPOSE)))
    return surface


@lru_cache(maxsize=32)
def _grain(material: str) -> Image.Image | None:
    """Return the grain around middle grey, for overlay; it is the same for every product of a material."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    noise = np.random.default_rng(len(material)).standard_normal((SIZE, SIZE)).astype(np.float32)
    coarse = _upscaled(np.random.default_rng(17).standard_normal((40, 40)))
    streaks = _upscaled(np.random.default_rng(23).standard_normal((6, 120)))
    maps = {
        "cotton": 5 * noise,
        "jersey": 10 * np.sin(y * 0.9) + 4 * noise,
        "linen": 12 * np.sin(x * 1.1) * np.sin(y * 1.1) + 9 * noise,
        "canvas": 16 * np.sin(x * 0.8) + 16 * np.sin(y * 0.8),
        "mesh": 26 * np.sin(x * 0.55 + y * 0.55) * np.sin(x * 0.55 - y * 0.55),
        "leather": 8 * coarse + 4 * noise,
        "suede": 6 * coarse + 12 * noise,
        "wood": 26 * streaks + 4 * noise,
        "steel": 14 * _upscaled(np.random.default_rng(29).standard_normal((160, 3))),
        "nylon": 8 * np.sin(x * 0.9 - y * 0.9),
        "paper": 6 * coarse,
        "silk": 20 * np.sin(x * 0.045 + np.sin(y * 0.02) * 2),
    }
    if material not in maps:
        return None
    level = np.clip(128 + maps[material], 0, 255).astype(np.uint8)
    return Image.merge("RGB", (Image.fromarray(level),) * 3)


def _upscaled(values: np.ndarray) -> np.ndarray:
    small = Image.fromarray(values.astype(np.float32))
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
