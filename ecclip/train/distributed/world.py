"""The process group as the engine sees it; here a single process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import Tensor, nn

T = TypeVar("T")


class World:
    """One process: it holds every row, and every collective returns its own value.

    :class:`ecclip.train.distributed.processes.Processes` is the same for several; this never touches torch.distributed.

    Attributes:
        rank: number of this process, from 0; process 0 writes, validates and logs.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes, validates and logs."""
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """Return the rows of a batch that this process computes: a contiguous part, uneven by one row at most."""
        return slice(total * self.rank // self.size, total * (self.rank + 1) // self.size)

    def counts(self, rows: int) -> list[int]:
        """Return the number of rows of every process, in order."""
        return [rows]

    def together(self, work: Callable[[], T]) -> T:
        """Run work that does not communicate with other processes, and fail in all of them together.

        Raises:
            MemoryError: it ran out of memory in one of the other processes.
        """
        return work()

    def gather(self, part: Tensor, counts: list[int]) -> Tensor:  # noqa: ARG002
        """Return the rows of all processes, [sum(counts), ...], of ``part`` [counts[rank], ...]."""
        return part

    def stack(self, value: Tensor) -> Tensor:
        """Return the values [...] of all processes, [size, ...]."""
        return value[None]

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum [...] of the values [...] of all processes, bit-identical on each."""
        return value

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum over all processes into the gradient of every parameter that has one."""

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process; every process waits here for the others."""
        return flag

    def from_first(self, value: int) -> int:
        """Return the number that the first process has."""
        return value

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors, whatever their shapes, with those of the first process."""


SINGLE_PROCESS = World()
