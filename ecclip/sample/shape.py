"""From the appearance of a product to its picture without a background."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image

from ecclip.sample.appearance import Appearance
from ecclip.sample.canvas import Canvas, Color, mix
from ecclip.sample.paint import GLOSSY, paint
from ecclip.sample.words import BRAND_INKS, COLORS

_WORN, _HOME = "ecclip.sample.shapes_worn", "ecclip.sample.shapes_home"
_DRAWN_BY = {
    "t-shirt": (_WORN, "t_shirt"),
    "dress": (_WORN, "dress"),
    "sneaker": (_WORN, "sneaker"),
    "boot": (_WORN, "boot"),
    "backpack": (_WORN, "backpack"),
    "handbag": (_WORN, "handbag"),
    "mug": (_HOME, "mug"),
    "lamp": (_HOME, "lamp"),
    "chair": (_HOME, "chair"),
    "juice": (_HOME, "juice"),
    "wine": (_HOME, "wine"),
    "knife": (_HOME, "knife"),
}
_SIDED = frozenset({"sneaker", "boot", "mug", "chair", "juice", "knife"})


@dataclass(frozen=True)
class Surface:
    """The paint of a product with the colours that go with it."""

    paint: Image.Image
    color: Color
    second: Color
    pattern: str
    gloss: str
    ink: Color


@lru_cache(maxsize=24)
def drawn(appearance: Appearance) -> Image.Image:
    """Return a product as a picture of mode RGBa; cached, as the listings of a product come one after another."""
    rng = Random(appearance.key)
    color = mix(COLORS[appearance.color], (128, 128, 128), rng.uniform(0, 0.07))
    second = COLORS[appearance.second]
    surface = Surface(
        paint=paint(color, second, appearance.pattern, appearance.material, rng),
        color=color,
        second=second,
        pattern=appearance.pattern,
        gloss="spot" if appearance.material in GLOSSY else "",
        ink=BRAND_INKS[sum(appearance.brand.encode()) % len(BRAND_INKS)],
    )
    canvas = Canvas(flipped=appearance.leaf in _SIDED and rng.random() < 0.5)
    module, name = _DRAWN_BY[appearance.leaf]
    getattr(importlib.import_module(module), name)(canvas, appearance, surface, rng)
    return canvas.finished()
