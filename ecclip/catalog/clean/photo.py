"""One photo: verified, turned upright, in RGB, small, hashed, or refused with a reason."""

from __future__ import annotations

import io
from functools import cache
from typing import NamedTuple

import imagehash
from PIL import Image

from ecclip.core import sha256_bytes
from ecclip.product_input import PreprocessingError, open_image


class Photo(NamedTuple):
    """A photo after cleaning: JPEG bytes and hashes, or ``error``."""

    image: bytes | None
    sha256: str | None
    phash: str | None
    error: str | None


def clean_photo(data: bytes | None, *, side: int, quality: int, max_pixels: int) -> Photo:
    """Decode ``data`` and encode it again as an RGB JPEG whose shorter side is at most ``side`` pixels.

    sha256 is that of ``data``, phash (16 hex digits, 64 bits) that of the picture. Errors: missing, and the reasons of
    :func:`ecclip.product_input.open_image`, which says for the server too what a photo is.
    """
    if data is None:
        return Photo(None, None, None, "missing")
    digest = sha256_bytes(data)
    try:
        picture = open_image(data, 2 * side, max_pixels=max_pixels)
    except PreprocessingError as refused:
        return Photo(None, digest, None, refused.reason)
    picture = _at_most(picture, side)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Photo(buffer.getvalue(), digest, str(imagehash.phash(picture)), None)


@cache
def load_libraries() -> None:
    """Let Pillow and imagehash import what they import at first use: a process that forks would pay in each child."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    clean_photo(buffer.getvalue(), side=8, quality=90, max_pixels=256)


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    scale = side / min(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
