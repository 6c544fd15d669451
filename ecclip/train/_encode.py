"""Many photos and titles to embeddings, decoding while the towers compute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from ecclip.model import PreprocessingError, Preprocessor, Towers, fuse_image_encoder

_AHEAD = 3


def encode_images(
    towers: Towers, preprocessor: Preprocessor, images: Sequence[bytes | None], batch_size: int = 64, workers: int = 1
) -> np.ndarray:
    """Return embeddings float32 [N, d]; a listing without a photo that can be decoded gets a row of NaN."""
    present = [row for row, data in enumerate(images) if data is not None]
    embeddings = np.full((len(images), towers.cfg.embedding_dim), np.nan, dtype=np.float32)

    def decode(rows: list[int]) -> tuple[list[int], np.ndarray]:
        decoded = [(row, _pixels(preprocessor, images[row] or b"")) for row in rows]
        good = [(row, pixels) for row, pixels in decoded if pixels is not None]
        return [row for row, _ in good], np.stack([pixels for _, pixels in good]) if good else np.empty(0)

    parts = [present[start : start + batch_size] for start in range(0, len(present), batch_size)]
    device = towers.logit_scale.device
    encoder = fuse_image_encoder(towers.image_encoder)
    with torch.inference_mode(), ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode") as pool:
        for rows, pixels in _ahead(pool.submit(decode, part) for part in parts):
            if rows:
                embeddings[rows] = encoder(torch.from_numpy(pixels).to(device)).float().cpu().numpy()
    return embeddings


def encode_texts(towers: Towers, preprocessor: Preprocessor, texts: Sequence[str], batch_size: int = 128) -> np.ndarray:
    """Return embeddings float32 [N, d]; texts of like length share a batch, so that little padding is computed."""
    embeddings = np.zeros((len(texts), towers.cfg.embedding_dim), dtype=np.float32)
    ids, mask = preprocessor.texts(texts)
    lengths = mask.sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    device = towers.logit_scale.device
    with torch.inference_mode():
        for start in range(0, len(texts), batch_size):
            rows = order[start : start + batch_size]
            width = int(lengths[rows].max())
            part = (torch.from_numpy(array[rows, :width]).to(device) for array in (ids, mask))
            embeddings[rows] = towers.encode_text(*part).float().cpu().numpy()
    return embeddings


def _pixels(preprocessor: Preprocessor, data: bytes) -> np.ndarray | None:
    try:
        return preprocessor.image(data)
    except PreprocessingError:
        return None


def _ahead(futures: Iterable[Future[tuple[list[int], np.ndarray]]]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield results in order while a few later ones are under way."""
    waiting: deque[Future[tuple[list[int], np.ndarray]]] = deque()
    for future in futures:
        waiting.append(future)
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
