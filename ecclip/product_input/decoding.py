"""Decoding of photos: accepted formats, size limits, orientation and colour."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import AvifImagePlugin, Image, JpegImagePlugin, WebPImagePlugin

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")  # what browsers show; no other decoder of Pillow is used
MAX_PIXELS = 16_000_000  # by judgment: a phone's photo has 12 million
MIN_SIDE = 16  # pixels; by judgment: smaller are the tracking pixels and spacers of web pages
MESSAGE_PIXELS = 4 * MAX_PIXELS  # of all photos of a message; by judgment: a few seconds of decoding

# imported here: Pillow would otherwise load all of its plugins to find these
_PLUGINS = (AvifImagePlugin, WebPImagePlugin)
# a JPEG decoded at an eighth of its size is still read whole: so many of its pixels cost as much as a decoded one
_READ_PIXELS = 8
_HEAD = 64  # first bytes of a file, in which a byte order mark and line ends are skipped; by judgment
_TURNS = {  # by the value of the EXIF tag
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # EXIF tag


class PreprocessingError(ValueError):
    """A photo or a title cannot be used; the text is safe to show to a client, ``reason`` is its name in counts."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class PixelBudget:
    """Pixels that the photos of one message may have together: a small message cannot keep a server busy."""

    def __init__(self, pixels: int = MESSAGE_PIXELS) -> None:
        self.pixels = self._left = pixels

    def spend(self, pixels: int) -> None:
        """Spend the pixels of one photo.

        Raises:
            PreprocessingError: over_budget; fewer pixels are left.
        """
        if pixels > self._left:
            raise PreprocessingError(
                "over_budget",
                f"the images of this message have more than {self.pixels} pixels to decode; "
                "send fewer listings at once, or smaller images",
            )
        self._left -= pixels


def open_image(
    data: bytes, min_side: int, *, max_pixels: int = MAX_PIXELS, budget: PixelBudget | None = None
) -> Image.Image:
    """Return the picture in RGB and upright; its shorter side keeps at least ``min_side`` pixels if it had them.

    Of a JPEG with several pictures (phones write those) the first is taken. A JPEG is decoded at 1/2, 1/4 or 1/8 of its
    size where that is enough; other large pictures are reduced before they are converted. Memory for the pixels of the
    file is allocated once, and only after their number has been checked.

    Raises:
        PreprocessingError: reason empty, not_an_image, too_large (more than ``max_pixels``, or than memory allows),
            too_small (a side below MIN_SIDE), animated, truncated, or over_budget.
    """
    if not data:
        raise PreprocessingError("empty", "the image is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about size and metadata: the size is checked here
        picture = _opened(_from_magic_number(data), max_pixels)
        pixels = picture.width * picture.height
        drafted = picture.draft("RGB", (min_side, min_side)) is not None
        if budget is not None:
            budget.spend(max(picture.width * picture.height, pixels // _READ_PIXELS))
        try:
            picture.load()
            return _upright(_as_rgb(picture, 0 if drafted else min_side), _orientation(picture))
        except Exception as error:
            if _lacks_memory(error):
                raise PreprocessingError("too_large", "the image needs more memory than there is") from error
            raise PreprocessingError("truncated", "the image is damaged or truncated") from error


def _from_magic_number(data: bytes) -> bytes:
    """Return ``data`` without the byte order mark and line ends that scripts put before a picture."""
    head = data[:_HEAD]
    before = len(head) - len(head.lstrip(b"\xef\xbb\xbf \t\r\n"))  # no format begins with one of these bytes
    return data[before:] if before else data


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """Return the picture before its pixels are decoded, after checking its size."""
    try:
        picture = _identified(data)
    except Image.DecompressionBombError as error:
        raise PreprocessingError("too_large", f"the image has more than {max_pixels} pixels") from error
    except Exception as error:
        if _lacks_memory(error):
            raise PreprocessingError("too_large", "the image needs more memory than there is") from error
        raise PreprocessingError("not_an_image", f"the image is none of {', '.join(FORMATS)}") from error
    if picture.width * picture.height > max_pixels:
        raise PreprocessingError("too_large", f"the image has more than {max_pixels} pixels")
    if min(picture.size) < MIN_SIDE:
        raise PreprocessingError("too_small", f"a side of the image has less than {MIN_SIDE} pixels")
    # further pictures of a JPEG are not frames: other resolutions, a depth map
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        raise PreprocessingError("animated", "the image has several frames; send one")
    return picture


def _identified(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:
        if not data.startswith(b"\xff\xd8\xff"):
            raise
        # the index of the further pictures is damaged; the first one does not need it
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error)


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation (1: upright); 1 where the metadata cannot be read."""
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow raises many kinds of errors on damaged entries; the pixels are intact
        return 1


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    transposition = _TURNS.get(orientation)
    return picture if transposition is None else picture.transpose(transposition)


def _as_rgb(picture: Image.Image, min_side: int) -> Image.Image:
    """Return a loaded picture in RGB, on white where transparent, reduced to about twice ``min_side`` (0: as is)."""
    transparent = "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA")
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if picture.mode.startswith("I;16") or values.max(initial=0) > 255:
            values = values >> 8  # Pillow's conversion would clip 16 bits to white
        picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    elif transparent:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    factor = min(picture.size) // (2 * min_side) if min_side else 1
    if factor > 1:
        picture = picture.reduce(factor)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
