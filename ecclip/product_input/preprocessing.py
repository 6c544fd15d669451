"""The inputs of the models: pixels of a photo, token ids of a title.

Runs with numpy 1.26 and 2: the folder is copied into every bundle and from there into the model repository, so that
cleaning, training and serving cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ecclip.product_input.decoding import PixelBudget, open_image
from ecclip.product_input.photo import CanonicalPhoto, canonical_jpeg
from ecclip.product_input.resizing import Reading, part, whole
from ecclip.product_input.text import title_text

if TYPE_CHECKING:
    from tokenizers import Encoding

# of a text that are tokenised, which bounds the time; by judgment: four times what 256 tokens of English take
MAX_CHARACTERS = 4096
_FULL_SIZE = 1 << 16  # pixels; no JPEG has a longer side, so the decoder reduces nothing


class Preprocessor:
    """Turns photos and titles into the arrays that the towers take.

    Args:
        image_size: side of the picture in pixels.
        max_tokens: tokens of a text.
        tokenizer_file: path of ``tokenizer.json``, or its content (which starts with a brace).
        canonical: form of the photos; that of the snapshot on which the towers were trained.
        reading: the rules by which the towers were pretrained.
    """

    def __init__(
        self,
        image_size: int,
        max_tokens: int,
        tokenizer_file: str | Path,
        canonical: CanonicalPhoto = CanonicalPhoto(),  # noqa: B008 - frozen
        reading: Reading = Reading(),  # noqa: B008 - frozen
    ) -> None:
        from tokenizers import Tokenizer  # cleaning photos needs no tokenizer

        self.image_size = image_size
        self.max_tokens = max_tokens
        self.canonical = canonical
        self.reading = reading
        content = str(tokenizer_file)
        if not content.startswith("{"):
            content = Path(content).read_text(encoding="utf-8")
        self._tokenizer = Tokenizer.from_str(content)
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        named = self._tokenizer.token_to_id("[PAD]") or self._tokenizer.token_to_id("<pad>") or 0
        self._pad_id = named if reading.pad_id is None else reading.pad_id

    @classmethod
    def described(
        cls, described: Mapping[str, Any], tokenizer_file: str | Path, canonical: CanonicalPhoto
    ) -> Preprocessor:
        """Return the preprocessing of a bundle from its description: ``image_size``, ``max_tokens``, ``reading``."""
        reading = Reading(**described.get("reading", {}))
        return cls(described["image_size"], described["max_tokens"], tokenizer_file, canonical, reading)

    def image(self, data: bytes, budget: PixelBudget | None = None) -> np.ndarray:
        """Return pixels uint8 [3, S, S] of a photo as the shop sent it: those of its canonical JPEG.

        Raises:
            PreprocessingError: the bytes are not a picture, are damaged, too large or too small, or exceed the budget.
        """
        return self.pixels(canonical_jpeg(data, self.canonical, budget)[0])

    def pixels(self, jpeg: bytes) -> np.ndarray:
        """Return pixels uint8 [3, S, S] of a canonical JPEG, as snapshots have them.

        Raises:
            PreprocessingError: the bytes are not a picture, or are damaged.
        """
        return whole(self._open(jpeg, self.image_size), self.image_size, self.reading)

    def part(self, jpeg: bytes, share: float, place: tuple[float, float], size: int | None = None) -> np.ndarray:
        """Return pixels uint8 [3, size, size] of a part of a canonical JPEG, to learn from.

        Args:
            jpeg: as snapshots have them.
            share: of each side that is kept, in (0, 1].
            place: how far to the right and down the part lies, 0 to 1.
            size: side of the square; None: ``image_size``.

        Raises:
            PreprocessingError: the bytes are not a picture, or are damaged.
        """
        size = size or self.image_size
        return part(self._open(jpeg, size), size, self.reading, share, place)

    def title(self, title: str) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask, int64 [T] each, of a title as its seller wrote it, padded to T = ``max_tokens``."""
        ids, mask = self.tokens([title_text(title)])
        return ids[0], mask[0]

    def tokens(self, texts: Sequence[str], *, pad_to_longest: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask, int64 [B, T] each, of texts that are already clean, such as the titles of a snapshot.

        T is ``max_tokens``, or the number of tokens of the longest of these texts. Towers that read texts of one
        length get ``max_tokens`` tokens, which all count, whatever the texts.
        """
        return self._padded(self._tokenizer.encode_batch([_printable(text) for text in texts]), pad_to_longest)

    def pair_tokens(self, left: Sequence[str], right: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask, int64 [B, T] each, of two clean texts that a tower reads as one, as its tokenizer joins
        them; of what exceeds ``max_tokens`` the longer text loses first. T is as in ``tokens``, of the longest pair.
        """
        pairs = [*zip(map(_printable, left), map(_printable, right), strict=True)]
        return self._padded(self._tokenizer.encode_batch(pairs), pad_to_longest=True)

    def _padded(self, encodings: Sequence[Encoding], pad_to_longest: bool) -> tuple[np.ndarray, np.ndarray]:
        fixed = self.reading.fixed_length
        shorter = pad_to_longest and not fixed
        width = max((len(e.ids) for e in encodings), default=1) if shorter else self.max_tokens
        ids = np.full((len(encodings), width), self._pad_id, dtype=np.int64)
        mask = np.full((len(encodings), width), int(fixed), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        return ids, mask

    def _open(self, jpeg: bytes, size: int) -> Image.Image:
        """Return the picture; what the rules of a pretraining resize is decoded in full size, as it was there."""
        return open_image(jpeg, size if self.reading.resize == "square" else _FULL_SIZE)


def _printable(text: str) -> str:
    """Return a text that every tokenizer accepts: bounded in length, without lone surrogates and NUL."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
