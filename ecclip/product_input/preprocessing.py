"""The one definition of what models see: a photo to pixels, a title to token ids.

Runs with numpy 1.26 and 2: the folder is copied as it is into every bundle and from there into the serving repository,
so that cleaning, training and serving cannot differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ecclip.product_input.decoding import PixelBudget, open_image
from ecclip.product_input.photo import CanonicalPhoto, canonical_jpeg
from ecclip.product_input.text import title_text

# of a text that are tokenised, which bounds the time; by judgment: four times what 256 tokens of English take
MAX_CHARACTERS = 4096


class Preprocessor:
    """Turns photos and titles into the arrays that the towers take.

    Args:
        image_size: side of the picture in pixels.
        max_tokens: tokens of a text.
        tokenizer_file: path of ``tokenizer.json``, or its content (which starts with a brace).
        canonical: what a photo becomes before its pixels are looked at; that of the snapshot which the towers saw.
    """

    def __init__(
        self,
        image_size: int,
        max_tokens: int,
        tokenizer_file: str | Path,
        canonical: CanonicalPhoto = CanonicalPhoto(),  # noqa: B008 - frozen
    ) -> None:
        from tokenizers import Tokenizer  # cleaning photos takes this file without its tokenizer

        self.image_size = image_size
        self.max_tokens = max_tokens
        self.canonical = canonical
        content = str(tokenizer_file)
        if not content.startswith("{"):
            content = Path(content).read_text(encoding="utf-8")
        self._tokenizer = Tokenizer.from_str(content)
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        self._pad_id = self._tokenizer.token_to_id("[PAD]") or self._tokenizer.token_to_id("<pad>") or 0

    def image(self, data: bytes, budget: PixelBudget | None = None) -> np.ndarray:
        """Return pixels uint8 [3, S, S] of a photo as the shop has it: those of its canonical JPEG.

        Raises:
            PreprocessingError: the bytes are no picture, are damaged, too large or too small, or the budget is spent.
        """
        return self.pixels(canonical_jpeg(data, self.canonical, budget)[0])

    def pixels(self, jpeg: bytes) -> np.ndarray:
        """Return pixels uint8 [3, S, S] of a canonical JPEG, as a snapshot has them: scaled to S, the centre cut out.

        Raises:
            PreprocessingError: the bytes are no picture or are damaged.
        """
        picture = open_image(jpeg, self.image_size)
        width, height = picture.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return square(picture, self.image_size, (left, top, left + side, top + side))

    def title(self, title: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask, int64 [T] each, of a title as its seller wrote it, padded to ``max_tokens``."""
        ids, mask = self.tokens([title_text(title)])
        return ids[0], mask[0]

    def tokens(self, texts: Sequence[str], *, pad_to_longest: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask, int64 [B, T] each, of texts that are clean already, as the titles of a snapshot are.

        T is ``max_tokens``, or the number of tokens of the longest of these texts.
        """
        encodings = self._tokenizer.encode_batch([_printable(text) for text in texts])
        width = max((len(e.ids) for e in encodings), default=1) if pad_to_longest else self.max_tokens
        ids = np.full((len(texts), width), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(texts), width), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        return ids, mask


def square(picture: Image.Image, size: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """Return pixels uint8 [3, size, size] of the part ``box`` (left, top, right, bottom) of a picture."""
    resized = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))


def _printable(text: str) -> str:
    """Return a text that every tokenizer takes: bounded, no lone surrogates, no NUL."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
