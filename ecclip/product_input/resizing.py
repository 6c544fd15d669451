"""From a picture to the square that a vision tower takes, by the rules with which it was pretrained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Reading:
    """How photos and texts become what towers take; the default is for towers that bring no rules of their own.

    Attributes:
        resize: ``square``: the centre square is resized in one step; ``crop``: the shorter side is resized, then the
            centre is cut out (CLIP); ``squash``: the whole picture is resized, whatever its shape (SigLIP).
        shorter_side: pixels of the shorter side before ``crop`` cuts; None: the side of the square.
        resample: filter, a name of FILTERS.
        pad_id: token that fills up a text; None: the tokenizer's ``[PAD]`` or ``<pad>``.
        fixed_length: the text tower was pretrained without a mask (SigLIP): what fills up a text counts as its tokens
            do, so that all texts have one length.
    """

    resize: str = "square"
    shorter_side: int | None = None
    resample: str = "bilinear"
    pad_id: int | None = None
    fixed_length: bool = False


def whole(picture: Image.Image, size: int, reading: Reading) -> np.ndarray:
    """Return pixels uint8 [3, size, size] of a picture in RGB, as the towers are asked about it."""
    width, height = picture.size
    if reading.resize == "squash":
        return _resized(picture, size, (0, 0, width, height), reading.resample)
    if reading.resize == "crop":
        return _cut_out(picture, size, reading)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return _resized(picture, size, (left, top, left + side, top + side), reading.resample)


def part(picture: Image.Image, size: int, reading: Reading, share: float, place: tuple[float, float]) -> np.ndarray:
    """Return pixels uint8 [3, size, size] of a part of a picture in RGB, to learn from.

    The part is a square, of ``share`` of the shorter side; where the towers read squashed pictures it has the shape of
    the picture, and ``share`` of each side. ``place`` is how far to the right and down it lies, 0 to 1.
    """
    width, height = picture.size
    if reading.resize == "squash":
        across, down = width * share, height * share
    else:
        across = down = min(width, height) * share
    left, top = place[0] * (width - across), place[1] * (height - down)
    return _resized(picture, size, (left, top, left + across, top + down), reading.resample)


def _cut_out(picture: Image.Image, size: int, reading: Reading) -> np.ndarray:
    """Resize and cut as torchvision's Resize and CenterCrop do, to the pixel: they truncate the longer side and round
    the offsets."""
    width, height = picture.size
    short = reading.shorter_side or size
    longer = int(short * max(width, height) / min(width, height))
    scaled = (short, longer) if width <= height else (longer, short)
    left, top = (round((side - size) / 2) for side in scaled)
    resized = picture.resize(scaled, FILTERS[reading.resample])
    return _array(resized.crop((left, top, left + size, top + size)))


def _resized(picture: Image.Image, size: int, box: tuple[float, float, float, float], resample: str) -> np.ndarray:
    return _array(picture.resize((size, size), FILTERS[resample], box=box))


def _array(picture: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture, dtype=np.uint8).transpose(2, 0, 1))
