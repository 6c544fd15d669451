"""One photo: made canonical, with its perceptual hash, or refused with a reason.

Its digest is known before it is decoded: landing takes it, or :func:`ecclip.catalog.clean.photos.name_photos` for a
photo that stands in its row.
"""

from __future__ import annotations

import io
from functools import cache
from typing import NamedTuple

import imagehash
from PIL import Image

from ecclip.product_input import CanonicalPhoto, PreprocessingError, canonical_jpeg


class Photo(NamedTuple):
    """A photo after cleaning: JPEG bytes and perceptual hash, or ``error``."""

    image: bytes | None
    phash: str | None
    error: str | None


def clean_photo(data: bytes | None, canonical: CanonicalPhoto) -> Photo:
    """Return the canonical JPEG of ``data``, and the perceptual hash of the picture (16 hex digits, 64 bits).

    Errors: missing, and the reasons of :func:`ecclip.product_input.open_image`, which says for the server too what a
    photo is.
    """
    if data is None:
        return Photo(None, None, "missing")
    try:
        jpeg, picture = canonical_jpeg(data, canonical)
    except PreprocessingError as refused:
        return Photo(None, None, refused.reason)
    return Photo(jpeg, str(imagehash.phash(picture)), None)


@cache
def load_libraries() -> None:
    """Make Pillow and imagehash do their lazy imports now: after a fork every child would repeat them."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    clean_photo(buffer.getvalue(), CanonicalPhoto(side=8))
