"""One photo: verified, turned upright, in RGB, small, hashed, or refused with a reason."""

from __future__ import annotations

import io
import warnings
from functools import cache
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ecclip.core import sha256_bytes


class Photo(NamedTuple):
    """A photo after cleaning: JPEG bytes and hashes, or ``error``."""

    image: bytes | None
    sha256: str | None
    phash: str | None
    error: str | None


def clean_photo(data: bytes | None, *, side: int, quality: int, max_pixels: int) -> Photo:
    """Decode ``data`` and encode it again as an RGB JPEG whose shorter side is at most ``side`` pixels.

    sha256 is that of ``data``, phash (16 hex digits, 64 bits) that of the picture. Errors: missing, empty, animated,
    not_an_image, truncated, too_large (more than ``max_pixels``, seen before decoding, or than memory allows).
    """
    if data is None:
        return Photo(None, None, None, "missing")
    digest = sha256_bytes(data)
    if not data:
        return Photo(None, digest, None, "empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about size and metadata: the size is checked here
            picture = _decode(data, side, max_pixels)
    except _Refused as refused:
        return Photo(None, digest, None, str(refused))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Photo(buffer.getvalue(), digest, str(imagehash.phash(picture)), None)


@cache
def load_libraries() -> None:
    """Let Pillow and imagehash import what they import at first use: a process that forks would pay in each child."""
    Image.init()
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    clean_photo(buffer.getvalue(), side=8, quality=90, max_pixels=256)


class _Refused(Exception):
    """The reason why a photo is refused."""


def _decode(data: bytes, side: int, max_pixels: int) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise _Refused("too_large") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise _Refused("not_an_image") from error
    if opened.width * opened.height > max_pixels:
        raise _Refused("too_large")
    if getattr(opened, "n_frames", 1) > 1:
        raise _Refused("animated")
    try:
        opened.draft("RGB", (2 * side, 2 * side))  # a large JPEG is decoded at a half or a quarter
        opened.load()
        picture = _to_rgb(ImageOps.exif_transpose(opened))
    except Exception as error:
        raise _Refused("too_large" if _lacks_memory(error) else "truncated") from error
    scale = side / min(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 or 32 bits a pixel: scale by the range, do not clip
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if picture.mode.startswith("I;16") or values.max(initial=0) > 255 else 255.0
        picture = Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(white, layers).convert("RGB")
    return picture.convert("RGB")
