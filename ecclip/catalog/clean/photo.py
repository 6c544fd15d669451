"""One photo: made canonical and hashed, or refused with a reason."""

from __future__ import annotations

import io
from functools import cache
from typing import NamedTuple

import imagehash
from PIL import Image

from ecclip.core import sha256_bytes
from ecclip.product_input import CanonicalPhoto, PreprocessingError, canonical_jpeg


class Photo(NamedTuple):
    """A photo after cleaning: JPEG bytes and hashes, or ``error``."""

    image: bytes | None
    sha256: str | None
    phash: str | None
    error: str | None


def clean_photo(data: bytes | None, canonical: CanonicalPhoto) -> Photo:
    """Return the canonical JPEG of ``data``.

    sha256 is that of ``data``, phash (16 hex digits, 64 bits) that of the picture. Errors: missing, and the reasons of
    :func:`ecclip.product_input.open_image`, which says for the server too what a photo is.
    """
    if data is None:
        return Photo(None, None, None, "missing")
    digest = sha256_bytes(data)
    try:
        jpeg, picture = canonical_jpeg(data, canonical)
    except PreprocessingError as refused:
        return Photo(None, digest, None, refused.reason)
    return Photo(jpeg, digest, str(imagehash.phash(picture)), None)


@cache
def load_libraries() -> None:
    """Make Pillow and imagehash do their lazy imports now: after a fork every child would repeat them."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    clean_photo(buffer.getvalue(), CanonicalPhoto(side=8))
