"""Bytes of a photo to a picture: which formats count, how large a photo may be, which way is up."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import AvifImagePlugin, Image, JpegImagePlugin, WebPImagePlugin

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")  # what browsers show; Pillow opens nothing else here
MAX_PIXELS = 16_000_000  # by judgment: a phone's photo has 12 million
MIN_SIDE = 16  # pixels; by judgment: smaller are the tracking pixels and spacers of web pages
MESSAGE_PIXELS = 4 * MAX_PIXELS  # of all photos of a message; by judgment: a few seconds of decoding

_PLUGINS = (AvifImagePlugin, WebPImagePlugin)  # Pillow would load all of its formats to look for these
# a JPEG that is decoded at an eighth is still read whole: pixels of the file that cost as much as one decoded
_READ_PIXELS = 8
_HEAD = 64  # bytes at the start of a file in which a byte order mark and line ends are overlooked
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
    """A photo or a title cannot be used; the text is safe to show to a client, ``reason`` is one word to count by."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class PixelBudget:
    """What the photos of one message may cost together, so that a small message cannot keep a server busy."""

    def __init__(self, pixels: int = MESSAGE_PIXELS) -> None:
        self.pixels = self._left = pixels

    def spend(self, pixels: int) -> None:
        """Take the pixels of one photo; PreprocessingError (over_budget) where that many are not left."""
        if pixels > self._left:
            raise PreprocessingError(
                "over_budget",
                f"the images of this message have more than {self.pixels} pixels to decode; "
                "send fewer listings at once, or smaller images",
            )
        self._left -= pixels


def open_image(
    data: bytes, least: int, *, max_pixels: int = MAX_PIXELS, budget: PixelBudget | None = None
) -> Image.Image:
    """Return the picture in RGB and upright; the shorter side keeps at least ``least`` pixels where it had them.

    Of a JPEG with further pictures behind it (phones write those) it is the first. A JPEG is decoded at 1/2, 1/4 or 1/8
    of its size where that is enough, another large picture is reduced before it is converted: memory for the pixels of
    the file is taken once, and only after their number has been judged.

    Raises:
        PreprocessingError: reason empty, not_an_image, too_large (more than ``max_pixels``, or than memory allows),
            too_small (a side below MIN_SIDE), animated, truncated, or over_budget.
    """
    if not data:
        raise PreprocessingError("empty", "the image is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about size and metadata: the size is judged here
        picture = _opened(_from_magic_number(data), max_pixels)
        pixels = picture.width * picture.height
        drafted = picture.draft("RGB", (least, least)) is not None
        if budget is not None:
            budget.spend(max(picture.width * picture.height, pixels // _READ_PIXELS))
        try:
            picture.load()
            return _turned(_as_rgb(picture, 0 if drafted else least), _orientation(picture))
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
    """Return the picture before decoding, once its size has been judged."""
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
    # what follows a JPEG is no later moment: another resolution, a depth map
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        raise PreprocessingError("animated", "the image has several frames; send one")
    return picture


def _identified(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:
        if not data.startswith(b"\xff\xd8\xff"):
            raise
        # a damaged index of the pictures behind the first one: that one does not need it
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error)


def _orientation(picture: Image.Image) -> int:
    """Return how the camera was held (EXIF, 1 = upright); metadata that cannot be read say nothing."""
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow's reader raises whatever a damaged entry leads it to; the pixels are whole
        return 1


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _as_rgb(picture: Image.Image, least: int) -> Image.Image:
    """Return a loaded picture in RGB, transparency on white; larger ones come reduced to twice ``least`` (0: as is)."""
    seen_through = "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA")
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if picture.mode.startswith("I;16") or values.max(initial=0) > 255:
            values = values >> 8  # 16 bits would clip to white if they were converted as they are
        picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    elif seen_through:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    factor = min(picture.size) // (2 * least) if least else 1
    if factor > 1:
        picture = picture.reduce(factor)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
