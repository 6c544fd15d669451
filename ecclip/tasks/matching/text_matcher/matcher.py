"""The text matcher of a catalog: two cross-encoders, each fine-tuned on the pairs of one half of the products."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecclip.core import get_logger, settings
from ecclip.model import Preprocessor, TextEncoder, Towers, one_thread_each
from ecclip.tasks.config import TextMatcherConfig
from ecclip.tasks.matching.text_matcher.cross_encoder import CrossEncoder
from ecclip.tasks.matching.text_matcher.fine_tuning import fine_tune, read_pairs
from ecclip.tasks.matching.text_matcher.store import read_readers, write_readers
from ecclip.train import deterministic

_HALVES = (0, 1)  # of the products
_MIN_LABELS = 10  # pairs of either label in each half below which nothing is taught; by judgment
_SPECIAL = 2  # positions of a tower that RoBERTa and its kin never use


class TextMatcher:
    """Reads the texts of two listings as one and says how likely they are one product.

    Each of its two readers learns from one half of the products, so that the other one's word about a labelled pair is
    as good, or as bad, as about a pair that nobody has labelled.

    Args:
        listings: what pairs are compared by, of every listing [N]: brand and title are read.
        halves: 0 or 1 for the half that a listing's product belongs to [N], see ``half_of``.
        towers: whose text tower is fine-tuned; they stay as they are.
        cfg: how much it learns and reads.
    """

    def __init__(
        self, listings: Sequence[Mapping[str, Any]], halves: np.ndarray, towers: Towers, cfg: TextMatcherConfig
    ) -> None:
        self.cfg = cfg
        self._texts = [_text(row) for row in listings]
        self._halves = halves
        self._encoder: TextEncoder = towers.text_encoder
        tokens = min(cfg.max_tokens, _positions(self._encoder) - _SPECIAL)
        side, reading = towers.cfg.image_size, towers.design.reading
        self._preprocessor = Preprocessor(side, tokens, towers.tokenizer, reading=reading)
        self._readers: list[CrossEncoder] = []
        self._nights = 0

    def take_over(self, folder: Path) -> None:
        """Take the readers that an earlier night has kept in ``folder``, where they fit and are not too old.

        Raises:
            IntegrityError: the files cannot be read; names the folder.
        """
        readers = self._untaught()
        nights = read_readers(folder, readers, self.cfg)
        if nights is not None and nights < self.cfg.keep_nights:
            self._readers, self._nights = readers, nights

    def save(self, folder: Path) -> None:
        """Write the readers; equal ones give equal bytes."""
        write_readers(folder, self._readers, self.cfg, self._nights + 1)

    def teach(self, left: np.ndarray, right: np.ndarray, labels: np.ndarray) -> bool:
        """Fine-tune the readers on pairs of rows [M], of one product (1) or two (0), unless they were taken over.

        Returns:
            Whether there are readers; not where one of them would have too few pairs of either label.
        """
        if self._readers:
            return True
        parts = [np.flatnonzero(self._halves[left] == half) for half in _HALVES]
        if min(np.bincount(labels[part], minlength=2).min() for part in parts) < _MIN_LABELS:
            return False
        readers = self._untaught()

        def learn(half: int) -> None:
            get_logger().info("fine-tuning a text matcher", half=half, pairs=len(parts[half]), epochs=self.cfg.epochs)
            texts = self._of(left[parts[half]], right[parts[half]])
            fine_tune(readers[half], self._preprocessor, texts, labels[parts[half]], self.cfg, seed=half)

        with _workers() as pool:
            for _ in pool.map(learn, _HALVES):
                pass
        self._readers = readers
        return True

    def log_odds(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the log odds of one product for pairs of rows, float32 [M]: the mean of both readers."""
        found: np.ndarray = np.stack([self._read(reader, left, right) for reader in self._readers])
        return np.asarray(found.mean(axis=0, dtype=np.float32))

    def held_out_log_odds(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the log odds [M] of labelled pairs by the reader that learns from the half of other products.

        The left listing says which half a pair belongs to.
        """
        found = np.zeros(len(left), dtype=np.float32)
        for half, reader in enumerate(self._readers):
            part = np.flatnonzero(self._halves[left] != half)
            found[part] = self._read(reader, left[part], right[part])
        return found

    def _read(self, reader: CrossEncoder, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        with _workers() as pool:
            return read_pairs(reader, self._preprocessor, self._of(left, right), pool)

    def _untaught(self) -> list[CrossEncoder]:
        """Return readers with the tower's weights; they differ by the first weights of their last layer."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return [CrossEncoder(self._encoder).to(settings().device) for _ in _HALVES]

    def _of(self, left: np.ndarray, right: np.ndarray) -> tuple[list[str], list[str]]:
        texts = self._texts
        return [texts[row] for row in left], [texts[row] for row in right]


def half_of(product: str) -> int:
    """Return the half, 0 or 1, of a product: a pure function of its name, so the same in every night."""
    return hashlib.sha256(f"half {product}".encode()).digest()[0] % len(_HALVES)


def _text(row: Mapping[str, Any]) -> str:
    """Return what a reader sees of a listing; the end is what is cut."""
    return " ".join(str(row[name]) for name in ("brand", "title") if row[name])


def _positions(encoder: TextEncoder) -> int:
    config: Any = encoder.tower.config
    return int(config.max_position_embeddings)


@contextmanager
def _workers() -> Iterator[Executor]:
    """Return workers whose results have equal bits, however many they are: an operation has one thread."""
    threads, device = settings().torch_threads, torch.device(settings().device)
    with deterministic(threads, device), one_thread_each(threads) as pool:
        yield pool
