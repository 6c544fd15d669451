"""A small canvas in units of a hundred: parts with paint, shading and outline, drawn larger than they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

SIZE = 440  # pixels of the canvas; a photo shows it clearly smaller, which smooths the edges
UNIT = SIZE / 100
Color = tuple[int, int, int]
Point = tuple[float, float]


def mix(color: Color, other: Color, share: float) -> Color:
    """Return ``color`` moved towards ``other`` by ``share`` (0-1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(color, other, strict=True))
    return red, green, blue


def darker(color: Color, share: float = 0.35) -> Color:
    """Return a darker shade."""
    return mix(color, (0, 0, 0), share)


def lighter(color: Color, share: float = 0.35) -> Color:
    """Return a lighter shade."""
    return mix(color, (255, 255, 255), share)


def readable_on(color: Color) -> Color:
    """Return near-white or near-black, whichever reads on ``color``."""
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    return (30, 30, 34) if luminance > 140 else (246, 244, 238)


def smooth(points: Sequence[Point], steps: int = 6) -> list[Point]:
    """Return a closed Catmull-Rom curve through the points."""
    knots = np.asarray(points, dtype=np.float64)
    before, after, later = np.roll(knots, 1, axis=0), np.roll(knots, -1, axis=0), np.roll(knots, -2, axis=0)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (part[:, None, :] for part in (before, knots, after, later))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


def mirror(half: Sequence[Point], center: float = 50.0) -> list[Point]:
    """Return the outline of a symmetric thing from its left half, listed from top to bottom."""
    return [*half, *((2 * center - x, y) for x, y in reversed(half))]


def oval(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> list[Point]:
    """Return points of an ellipse (angles in degrees, clockwise from the right)."""
    count = max(8, int(abs(stop - start) / 9))
    angles = [math.radians(start + (stop - start) * index / count) for index in range(count + 1)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def box(left: float, top: float, right: float, bottom: float, radius: float = 0) -> list[Point]:
    """Return a rectangle with rounded corners."""
    if radius <= 0:
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    corners = [
        (right - radius, top + radius, -90),
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
    ]
    return [point for x, y, start in corners for point in oval(x, y, radius, radius, start, start + 90)]


@lru_cache(maxsize=8)
def _shade(kind: str) -> Image.Image:
    """Return how dark (0-255) each place of a part is, over its bounding box."""
    x = np.linspace(0, 1, 64)[None, :].repeat(64, axis=0)
    y = np.linspace(0, 1, 64)[:, None].repeat(64, axis=1)
    maps = {
        "cylinder": 120 * np.abs(x - 0.38) ** 1.8 * 2.2,
        "soft": 70 * np.clip(0.6 * x + 0.7 * y - 0.25, 0, 1),
        "down": 95 * np.clip(y - 0.35, 0, 1) * 1.4,
        "fold": 22 * (1 + np.sin(x * 19 + y * 3)) * (0.25 + 0.75 * y) + 30 * np.abs(x - 0.45),
    }
    return Image.fromarray(np.clip(maps[kind], 0, 255).astype(np.uint8))


@lru_cache(maxsize=4)
def _gloss(kind: str) -> Image.Image:
    x = np.linspace(0, 1, 64)[None, :].repeat(64, axis=0)
    y = np.linspace(0, 1, 64)[:, None].repeat(64, axis=1)
    maps = {
        "streak": 150 * np.exp(-(((x - 0.24) / 0.06) ** 2)) * np.clip(1.4 - np.abs(y - 0.5) * 2.2, 0, 1),
        "glow": 170 * np.exp(-(((x - 0.5) / 0.3) ** 2) - ((y - 0.6) / 0.34) ** 2),
        "spot": 130 * np.exp(-(((x - 0.32) / 0.16) ** 2) - ((y - 0.26) / 0.14) ** 2),
    }
    return Image.fromarray(np.clip(maps[kind], 0, 255).astype(np.uint8))


@lru_cache(maxsize=64)
def font(pixels: int) -> ImageFont.FreeTypeFont:
    """Return the scalable font that comes inside Pillow."""
    return ImageFont.load_default(size=pixels)  # type: ignore[return-value]


class Canvas:
    """Colour and coverage of one product, drawn part by part in units (0-100 in both directions)."""

    def __init__(self, *, flipped: bool = False) -> None:
        self._flipped = flipped  # left and right change places, words stay readable
        self.rgb = Image.new("RGB", (SIZE, SIZE), (128, 128, 128))
        self.alpha = Image.new("L", (SIZE, SIZE), 0)
        self._pen = ImageDraw.Draw(self.rgb)
        self._cover = ImageDraw.Draw(self.alpha)

    def part(
        self,
        points: Sequence[Point],
        paint: Image.Image | Color | None,
        *,
        shade: str = "",
        gloss: str = "",
        outline: Color | None = None,
        width: float = 0.5,
    ) -> None:
        """Fill a polygon with a colour or a canvas-sized paint (None: leave it), then shade it, then outline it."""
        pixels = self._pixels(points)
        left, top = (max(0, math.floor(min(p[axis] for p in pixels))) for axis in (0, 1))
        right, bottom = (min(SIZE, math.ceil(max(p[axis] for p in pixels)) + 1) for axis in (0, 1))
        if right <= left or bottom <= top:
            return
        area, size = (left, top, right, bottom), (right - left, bottom - top)
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in pixels], fill=255)
        if paint is not None:
            self.rgb.paste(paint.crop(area) if isinstance(paint, Image.Image) else paint, area, mask)
        if shade:
            self.rgb.paste((0, 0, 0), area, ImageChops.multiply(mask, _shade(shade).resize(size)))
        if gloss:
            self.rgb.paste((255, 255, 255), area, ImageChops.multiply(mask, _gloss(gloss).resize(size)))
        self._cover.polygon(pixels, fill=255)
        if outline is not None:
            self._pen.line(
                [*pixels, pixels[0], pixels[1]], fill=outline, width=max(1, round(width * UNIT)), joint="curve"
            )

    def line(self, points: Sequence[Point], color: Color, width: float = 0.5, *, covers: bool = False) -> None:
        """Draw an open line; with ``covers`` it is part of the product (a handle), else only seen on it (a seam)."""
        pixels = self._pixels(points)
        thick = max(1, round(width * UNIT))
        self._pen.line(pixels, fill=color, width=thick, joint="curve")
        if covers:
            self._cover.line(pixels, fill=255, width=thick, joint="curve")

    def text(self, x: float, y: float, words: str, color: Color, height: float, *, limit: float = 60.0) -> None:
        """Print words centred at a place, ``height`` units high and at most ``limit`` units wide."""
        pixels = max(9, round(height * UNIT))
        wide = font(pixels).getlength(words)
        if wide > limit * UNIT:
            pixels = max(9, int(pixels * limit * UNIT / wide))
        self._pen.text(self._pixels([(x, y)])[0], words, fill=color, font=font(pixels), anchor="mm")

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [((100 - x if self._flipped else x) * UNIT, y * UNIT) for x, y in points]

    def finished(self) -> Image.Image:
        """Return the product as a picture of SIZE x SIZE pixels with premultiplied transparency (mode RGBa)."""
        picture = self.rgb.copy()
        picture.putalpha(self.alpha)
        return picture.convert("RGBa")
