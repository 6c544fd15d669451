"""Preview of what the towers see: the first pairs after augmentation, as a contact sheet and its texts."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from ecclip.train.engine.accumulation import Batch

PAIRS = 16  # on the contact sheet
_COLUMNS = 4  # of the contact sheet


def contact_sheet(pixels: np.ndarray) -> bytes:
    """Return a PNG of photos uint8 [n, 3, S, S], four per row, in their order."""
    count, _, side, _ = pixels.shape
    rows = -(-count // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * side, rows * side), "white")
    for number, photo in enumerate(pixels):
        place = (number % _COLUMNS * side, number // _COLUMNS * side)
        sheet.paste(Image.fromarray(np.ascontiguousarray(photo.transpose(1, 2, 0))), place)
    target = io.BytesIO()
    sheet.save(target, format="PNG")
    return target.getvalue()


def texts_seen(batch: Batch, tokenizer: str) -> Sequence[str]:
    """Return the texts of a batch as far as the text tower sees them: decoded from their tokens."""
    decoder = Tokenizer.from_str(tokenizer)
    rows = zip(batch.ids, batch.mask, strict=True)
    return decoder.decode_batch([ids[mask.bool()].tolist() for ids, mask in rows], skip_special_tokens=True)
