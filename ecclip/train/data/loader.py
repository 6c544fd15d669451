"""Pairs to batches: decoded, varied and tokenized ahead of the training step, in an order that no thread can change."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from ecclip.product_input import Preprocessor
from ecclip.train.config import AugmentConfig
from ecclip.train.data.pairs import Pair, Pairs
from ecclip.train.engine.accumulation import Batch

_AUGMENTATION_STREAM = 2  # keeps its random numbers apart from other uses of the seed


class Loader:
    """Makes batches from row numbers.

    Args:
        pairs: to read.
        preprocessor: the one that belongs to the towers.
        cfg: how a pair is varied.
        seed: of the training.
        workers: threads that work ahead; 0: none.
        certainty: float32 [N], how sure it is that a pair belongs to its group; None: certain.
        image_size: side of the pictures, pixels; None: that of the preprocessor.
    """

    def __init__(
        self,
        pairs: Pairs,
        preprocessor: Preprocessor,
        cfg: AugmentConfig,
        seed: int,
        workers: int,
        certainty: np.ndarray | None = None,
        *,
        image_size: int | None = None,
    ) -> None:
        self.pairs, self.preprocessor, self.cfg = pairs, preprocessor, cfg
        self.certainty = certainty
        self.seed, self.workers = seed, workers
        self.image_size = image_size or preprocessor.image_size

    def batches(self, plan: Iterable[tuple[int, np.ndarray]]) -> Iterator[Batch]:
        """Yield one batch per (epoch, row numbers int64 [B]), in order; ``workers`` threads work ahead, 0: none."""
        if self.workers == 0:
            yield from (self.make(epoch, rows) for epoch, rows in plan)
            return
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        try:
            for epoch, rows in plan:
                waiting.append(pool.submit(self.make, epoch, rows))
                if len(waiting) > self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def make(self, epoch: int, rows: np.ndarray) -> Batch:
        """Return the batch of row numbers int64 [B]; a pure function of (seed, epoch, rows)."""
        pixels, texts = [], []
        for row in rows.tolist():
            chance = np.random.default_rng([self.seed, epoch, row, _AUGMENTATION_STREAM])
            pair = self.pairs[row]
            pixels.append(varied_image(pair.image, self.preprocessor, self.cfg, chance, self.image_size))
            texts.append(varied_text(pair, self.cfg, chance))
        certainty = None if self.certainty is None else self.certainty[rows]
        return collate(pixels, texts, self.pairs.groups[rows], self.preprocessor, certainty)


def collate(
    pixels: Sequence[np.ndarray],
    texts: Sequence[str],
    groups: np.ndarray,
    preprocessor: Preprocessor,
    certainty: np.ndarray | None = None,
) -> Batch:
    """Return a batch on the CPU of pixels uint8 [3, S, S] each, texts, padded to the longest, groups int64 [B] and how
    sure they are, float32 [B]."""
    ids, mask = preprocessor.tokens(texts, pad_to_longest=True)
    shown, products = torch.from_numpy(np.stack(pixels)), torch.from_numpy(np.asarray(groups, dtype=np.int64))
    sure = None if certainty is None else torch.from_numpy(certainty)
    return Batch(shown, torch.from_numpy(ids), torch.from_numpy(mask), products, sure)


def varied_image(
    data: bytes, preprocessor: Preprocessor, cfg: AugmentConfig, chance: np.random.Generator, size: int | None = None
) -> np.ndarray:
    """Return pixels uint8 [3, size, size] of a random part of a photo, mirrored or not; None: the towers' size."""
    area, left, top, mirrored = chance.random(4)
    share = math.sqrt(cfg.smallest_crop + (1 - cfg.smallest_crop) * area)
    pixels = preprocessor.part(data, share, (left, top), size)
    return np.ascontiguousarray(pixels[:, :, ::-1]) if mirrored < cfg.flip else pixels


def varied_text(pair: Pair, cfg: AugmentConfig, chance: np.random.Generator) -> str:
    """Return the title, sometimes with brand and attribute values that it does not already name."""
    if chance.random() >= cfg.richer_text:
        return pair.title
    title = pair.title.lower()
    values = [pair.brand or "", *(value for _, value in pair.attributes)]
    return " ".join([pair.title, *(value for value in values if value and value.lower() not in title)])
