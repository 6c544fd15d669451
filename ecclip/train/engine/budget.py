"""How many pairs a micro-batch holds: a budget in images and in tokens, halved when memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from ecclip.errors import OutOfMemoryError

T = TypeVar("T")
# CUDA's allocator raises its own type; the CPU's error is known by its text only.
_WORDS_OF_ALLOCATORS = ("can't allocate memory", "bad_alloc", "out of memory")


@dataclass(frozen=True)
class Budget:
    """Largest number of images and of tokens (rows x length of the longest text) whose activations exist at once.

    Attributes:
        images: pairs of a micro-batch.
        tokens: tokens of a micro-batch, padding included; None: no limit. A single longer text is one
            micro-batch.
    """

    images: int
    tokens: int | None = None

    def micro_batches(self, lengths: Sequence[int]) -> list[slice]:
        """Cut rows whose texts have these lengths into micro-batches, each as long as the budget allows; in order."""
        micro_batches: list[slice] = []
        start, longest = 0, 0
        for row, length in enumerate(lengths):
            longest = max(longest, length)
            if row > start and not self._holds(row + 1 - start, longest):
                micro_batches.append(slice(start, row))
                start, longest = row, length
        return [*micro_batches, slice(start, len(lengths))]

    def halved(self, rows: int) -> Budget:
        """Return half the budget, for a process that has ``rows`` rows of the batch.

        Raises:
            OutOfMemoryError: micro-batches are single pairs already.
        """
        images = min(self.images, rows)
        if images == 1:
            raise OutOfMemoryError(
                "not even one pair at a time fits into memory",
                value="micro-batches of 1 pair",
                next_step="use smaller towers, images or batches, or a machine with more memory",
            )
        return Budget(images // 2, None if self.tokens is None else max(1, self.tokens // 2))

    def _holds(self, rows: int, longest: int) -> bool:
        return rows <= self.images and (self.tokens is None or rows * longest <= self.tokens)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that an allocator, of a GPU or of the CPU, had nothing left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS_OF_ALLOCATORS)


def within_memory(work: Callable[[Budget], T], budget: Budget, rows: int, halved: Callable[[Budget], None]) -> T:
    """Do ``work`` within a budget, halving it until the work fits into memory.

    Args:
        work: raises what :func:`is_out_of_memory` recognises, and can be called again then.
        budget: what is tried first.
        rows: rows of the batch that this process has.
        halved: called with every smaller budget before it is tried.

    Raises:
        OutOfMemoryError: not even one pair fits.
    """
    while True:
        try:
            return work(budget)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside of the handler: the error's traceback holds the activations of the failed try.
        budget = budget.halved(rows)
        halved(budget)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
