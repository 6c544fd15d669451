"""The canonical photo: the form of every photo before anything looks at it, in the snapshot and on the server.

A snapshot keeps canonical JPEGs and the server makes the very same ones, so that both see equal pixels. The bytes
depend on the definition here and on the codecs: both are written into snapshots and bundles.
"""

from __future__ import annotations

import functools
import io
import json
import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL
from PIL import Image, JpegImagePlugin, features

from ecclip.product_input.decoding import (
    MAX_PIXELS,
    MESSAGE_PIXELS,
    MIN_SIDE,
    PixelBudget,
    PreprocessingError,
    open_image,
)

DEFINITION = "product_input.json"
_LONGEST_SIDE = 65_500  # of a JPEG, by libjpeg
_CODECS = ("libjpeg_turbo", "webp", "avif")
_HALVED_CHROMA = 2  # 4:2:0 in Pillow's numbers, its default


@dataclass(frozen=True)
class CanonicalPhoto:
    """How a photo is kept.

    Attributes:
        side: the shorter side in pixels; smaller photos keep their size.
        quality: of the JPEG.
        max_pixels: a photo of more pixels is refused.
    """

    side: int = 256
    quality: int = 90
    max_pixels: int = MAX_PIXELS

    @property
    def message_pixels(self) -> int:
        """Pixels that the photos of one message may have together."""
        return MESSAGE_PIXELS // MAX_PIXELS * self.max_pixels


def codec_versions() -> dict[str, str]:
    """Return the versions of the codecs of this process."""
    return {"pillow": PIL.__version__, **{name: str(features.version(name)) for name in _CODECS}}


def definition(canonical: CanonicalPhoto) -> dict[str, Any]:
    """Return what snapshots and bundles record of what models see: canonical photo, codecs, and Unicode's version."""
    return {"photo": asdict(canonical), "codecs": codec_versions(), "unicode": unicodedata.unidata_version}


def read_canonical(folder: Path) -> CanonicalPhoto:
    """Return the canonical form of the photos of a snapshot or a bundle."""
    return canonical_of(json.loads((folder / DEFINITION).read_bytes()))


def canonical_of(described: Mapping[str, Any]) -> CanonicalPhoto:
    """Return the canonical form that :func:`definition` described."""
    return CanonicalPhoto(**described["photo"])


def canonical_jpeg(
    data: bytes, canonical: CanonicalPhoto, budget: PixelBudget | None = None
) -> tuple[bytes, Image.Image]:
    """Return the canonical JPEG of a photo, and the picture that it was made from.

    It is upright and RGB, has no metadata, and its shorter side has at most ``canonical.side`` pixels. Bytes that are
    already canonical are returned unchanged, so the function is idempotent.

    Raises:
        PreprocessingError: the reasons of :func:`open_image`.
    """
    # twice the side: the decoder's own reduction is coarse, and the rest is left to a good filter
    picture = open_image(data, 2 * canonical.side, max_pixels=canonical.max_pixels, budget=budget)
    if is_canonical(data, canonical):
        return data, picture
    picture = _at_most(picture, canonical.side)
    if max(picture.size) > _LONGEST_SIDE:
        raise PreprocessingError("too_large", f"a side of the image has more than {_LONGEST_SIDE} pixels")
    picture.info = {}  # Pillow would write comments and profiles into the JPEG
    return _encoded(picture, canonical.quality), picture


def is_canonical(data: bytes, canonical: CanonicalPhoto) -> bool:
    """Return whether the bytes are a JPEG as :func:`canonical_jpeg` writes it, going by everything in its header."""
    if not (data.startswith(b"\xff\xd8\xff\xe0") and data.endswith(b"\xff\xd9")):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    except Exception:  # noqa: BLE001 - Pillow raises many kinds of errors on damaged metadata
        return False
    return (
        picture.mode == "RGB"
        and MIN_SIDE <= min(picture.size) <= canonical.side
        and [name for name, _ in picture.applist] == ["APP0"]
        and "progressive" not in picture.info
        and JpegImagePlugin.get_sampling(picture) == _HALVED_CHROMA
        and picture.quantization == _tables(canonical.quality)
    )


@functools.cache
def _tables(quality: int) -> dict[int, list[int]]:
    encoded = _encoded(Image.new("RGB", (MIN_SIDE, MIN_SIDE)), quality)
    return dict(JpegImagePlugin.JpegImageFile(io.BytesIO(encoded)).quantization)


def _encoded(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    scale = side / min(picture.size)
    if scale >= 1:
        return picture
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
