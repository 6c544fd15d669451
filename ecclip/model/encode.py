"""Many photos and titles to embeddings: on a CPU in parallel batches of one thread each, on a GPU while the next
batches are decoded.

Two threads inside one small operation mostly wait for each other, even more on a busy machine; two threads with a batch
each never wait, and results do not depend on their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from ecclip.model.fusing import fuse_image_encoder
from ecclip.model.text import TextEncoder
from ecclip.model.towers import Towers
from ecclip.model.vision import ImageEncoder
from ecclip.product_input import PreprocessingError, Preprocessor

_AHEAD = 3  # batches decoded ahead of the towers; bounds the memory
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")


def encode_images(
    towers: Towers,
    preprocessor: Preprocessor,
    images: Sequence[bytes | None],
    batch_size: int = 64,
    workers: int = 1,
    *,
    what: Literal["embedding", "features", "outputs"] = "embedding",
) -> np.ndarray:
    """Return embeddings float32 [N, d] of canonical JPEGs; a listing without one that can be decoded gets a row of NaN.

    ``features`` are what the tower gives before the projection, [N, width]; ``outputs`` the embedding and beside it
    the features of length 1, [N, d + width], of one pass.
    """
    present = [row for row, data in enumerate(images) if data is not None]
    fused = fuse_image_encoder(towers.image_encoder)
    encoders: dict[str, Callable[[Tensor], Tensor]] = {
        "embedding": fused,
        "features": fused.features,
        "outputs": _side_by_side(fused),
    }
    encoder, dim, own = encoders[what], towers.cfg.embedding_dim, fused.projection.in_features
    width = {"embedding": dim, "features": own, "outputs": dim + own}[what]
    embeddings = np.full((len(images), width), np.nan, dtype=np.float32)
    device = towers.logit_scale.device

    def decode(rows: list[int]) -> tuple[list[int], Tensor]:
        decoded = [(row, _pixels(preprocessor, images[row] or b"")) for row in rows]
        good = [(row, pixels) for row, pixels in decoded if pixels is not None]
        pixels = np.stack([pixels for _, pixels in good]) if good else np.empty(0)
        return [row for row, _ in good], torch.from_numpy(pixels)

    def encode(part: tuple[list[int], Tensor]) -> None:
        rows, pixels = part
        if rows:
            embeddings[rows] = encoder(pixels.to(device)).float().cpu().numpy()

    parts = [present[start : start + batch_size] for start in range(0, len(present), batch_size)]
    _run(parts, decode, encode, device, workers)
    return embeddings


def encode_texts(
    towers: Towers,
    preprocessor: Preprocessor,
    texts: Sequence[str],
    batch_size: int = 128,
    workers: int = 1,
    *,
    what: Literal["embedding", "outputs"] = "embedding",
) -> np.ndarray:
    """Return embeddings float32 [N, d]; texts of like length share a batch, so that little padding is computed.

    ``outputs`` are the embedding and beside it the tower's features of length 1, [N, d + width], of one pass.
    """
    text = towers.text_encoder
    encoder = _side_by_side(text) if what == "outputs" else text
    width = towers.cfg.embedding_dim + (text.projection.in_features if what == "outputs" else 0)
    embeddings = np.zeros((len(texts), width), dtype=np.float32)
    ids, mask = preprocessor.tokens(texts)
    lengths = mask.sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    device = towers.logit_scale.device

    def pick(rows: np.ndarray) -> tuple[np.ndarray, list[Tensor]]:
        longest = int(lengths[rows].max())
        return rows, [torch.from_numpy(array[rows, :longest]) for array in (ids, mask)]

    def encode(part: tuple[np.ndarray, list[Tensor]]) -> None:
        rows, arrays = part
        embeddings[rows] = encoder(*(array.to(device) for array in arrays)).float().cpu().numpy()

    parts = [order[start : start + batch_size] for start in range(0, len(texts), batch_size)]
    _run(parts, pick, encode, device, workers)
    return embeddings


def _side_by_side(encoder: ImageEncoder | TextEncoder) -> Callable[..., Tensor]:
    return lambda *arrays: torch.cat(encoder.outputs(*arrays), dim=1)


def _run(
    parts: Sequence[_Part],
    prepare: Callable[[_Part], _Result],
    encode: Callable[[_Result], None],
    device: torch.device,
    workers: int,
) -> None:
    """Prepare and encode every part; on a CPU both in the workers, else the encoding in this thread."""

    def both(part: _Part) -> None:
        with torch.inference_mode():  # the mode is per thread
            encode(prepare(part))

    if device.type == "cpu":
        with one_thread_each(workers) as pool:
            for _ in pool.map(both, parts):
                pass
    else:
        with ThreadPoolExecutor(max(1, workers), thread_name_prefix="decode") as pool, torch.inference_mode():
            for result in _ahead(pool, prepare, parts):
                encode(result)


@contextmanager
def one_thread_each(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Return workers in which every operation is computed by the thread that calls it."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            max(1, workers), thread_name_prefix="encode", initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _pixels(preprocessor: Preprocessor, data: bytes) -> np.ndarray | None:
    try:
        return preprocessor.pixels(data)
    except PreprocessingError:
        return None


def _ahead(pool: ThreadPoolExecutor, function: Callable[[_Part], _Result], parts: Sequence[_Part]) -> Iterator[_Result]:
    """Yield results in order while a few later ones are under way."""
    waiting: deque[Future[_Result]] = deque()
    for part in parts:
        waiting.append(pool.submit(function, part))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
