"""The one definition of what towers see: bytes of a photo to pixels, a title to token ids.

This file stands alone (numpy 1.26 or 2, Pillow, tokenizers) and is copied as it is into the serving repository, so
that training and serving cannot differ.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tokenizers import Tokenizer

MAX_PIXELS = 64_000_000
MAX_CHARACTERS = 4096
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


class PreprocessingError(ValueError):
    """A photo or a title cannot be used; the text is safe to show to a client."""


class Preprocessor:
    """Turns photos and titles into the arrays that the towers take.

    Args:
        image_size: side of the picture in pixels.
        max_tokens: tokens of a text.
        tokenizer_file: path of ``tokenizer.json``, or its content (which starts with a brace).
    """

    def __init__(self, image_size: int, max_tokens: int, tokenizer_file: str | Path) -> None:
        self.image_size = image_size
        self.max_tokens = max_tokens
        content = str(tokenizer_file)
        if not content.startswith("{"):
            content = Path(content).read_text(encoding="utf-8")
        self._tokenizer = Tokenizer.from_str(content)
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        self._pad_id = self._tokenizer.token_to_id("[PAD]") or self._tokenizer.token_to_id("<pad>") or 0

    def image(self, data: bytes) -> np.ndarray:
        """Return pixels uint8 [3, S, S]: RGB, upright, shorter side scaled to S, centre cut out.

        Raises:
            PreprocessingError: the bytes are no picture, are damaged or are too large.
        """
        picture = open_image(data, self.image_size)
        width, height = picture.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return square(picture, self.image_size, (left, top, left + side, top + side))

    def text(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask, int64 [T] each, padded to ``max_tokens``."""
        ids, mask = self.texts([text])
        return ids[0], mask[0]

    def texts(self, texts: Sequence[str], *, pad_to_longest: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask, int64 [B, T] each; T is ``max_tokens`` or the longest text of these."""
        encodings = self._tokenizer.encode_batch([_printable(text) for text in texts])
        width = max((len(e.ids) for e in encodings), default=1) if pad_to_longest else self.max_tokens
        ids = np.full((len(texts), width), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(texts), width), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        return ids, mask


def open_image(data: bytes, least: int) -> Image.Image:
    """Return the picture in RGB and upright; the shorter side keeps at least ``least`` pixels where it had them.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that is enough, which is faster and already averages.
    """
    if not data:
        raise PreprocessingError("the image is empty")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise PreprocessingError(f"the image is none of {', '.join(FORMATS)}") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise PreprocessingError(f"the image has more than {MAX_PIXELS} pixels")
    try:
        picture.draft("RGB", (least, least))
        return _as_rgb(ImageOps.exif_transpose(picture))
    except Exception as error:
        raise PreprocessingError("the image is damaged or truncated") from error


def square(picture: Image.Image, size: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return pixels uint8 [3, size, size] of the part ``box`` (left, top, right, bottom) of a picture."""
    resized = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        # 16-bit pictures clip to white if they are converted as they are.
        scale = 256.0 if values.max(initial=0.0) > 255.0 else 1.0
        picture = Image.fromarray(np.clip(values / scale, 0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def _printable(text: str) -> str:
    """Return a text that every tokenizer takes: bounded, no lone surrogates, no NUL."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
