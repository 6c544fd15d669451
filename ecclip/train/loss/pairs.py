"""What every pair of a batch counts as, a block of rows at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ecclip.train.distributed.world import World
from ecclip.train.loss.labels import Labels


class PairLabels:
    """The m and w of :class:`Labels` for this process's rows against the whole batch.

    Args:
        groups: int64 [b], of this process; pairs of one group are the same product.
        labels: what counts as a match within a group.
        world: the processes that hold the other rows.
        dtype: of what is returned.
        certainty: [b], how sure the catalog is that a listing belongs to its group; two listings are one product
            with the product of theirs. None: certain.
    """

    def __init__(
        self, groups: Tensor, labels: Labels, world: World, dtype: torch.dtype, certainty: Tensor | None = None
    ) -> None:
        self.labels, self.world, self._dtype = Labels(labels), world, dtype
        self.counts = world.counts(len(groups))
        first = sum(self.counts[: world.rank])
        self.own = slice(first, first + len(groups))
        self.groups = world.gather(groups, self.counts)
        self.size = len(self.groups)
        self._certainty = None
        if certainty is not None and self.labels.spreads:
            self._certainty = world.gather(certainty.to(dtype), self.counts)
        _, self._codes, self._group_sizes = self.groups.unique(return_inverse=True, return_counts=True)

    def blocks(self, block_rows: int) -> list[slice]:
        """Cut the rows of this process into blocks."""
        rows = self.own.stop - self.own.start
        return [slice(start, min(start + block_rows, rows)) for start in range(0, rows, block_rows)]

    def identity(self, rows: slice) -> Tensor:
        """Return bool [rows, B]: which text belongs to the image."""
        index = torch.arange(self.size, device=self.groups.device)
        return index[self._global(rows), None] == index[None, :]

    def same_group(self, rows: slice) -> Tensor:
        """Return bool [rows, B]: which pairs show one product."""
        return self.groups[self._global(rows), None] == self.groups[None, :]

    def shares(self, rows: slice, *, within: bool = False) -> Tensor | None:
        """Return w [rows, B]: how far a pair takes part; ``within`` a modality none with itself. None: all in full."""
        if self.labels == Labels.MASK or self._certainty is not None:
            others = self.same_group(rows) & ~self.identity(rows)
            shares = torch.where(others, self._certain(rows), 1.0)
        elif within:
            shares = torch.ones((rows.stop - rows.start, self.size), dtype=self._dtype, device=self.groups.device)
        else:
            return None
        return shares.masked_fill(self.identity(rows), 0.0) if within else shares

    def matches(self, rows: slice) -> Tensor:
        """Return m [rows, B]: how far a pair is a match, each pair with itself in full."""
        if not self.labels.spreads:
            return self.identity(rows).to(self._dtype)
        same, shares = self.same_group(rows), self.shares(rows)
        return same.to(self._dtype) if shares is None else torch.where(same, shares, 0.0)

    def targets(self, rows: slice) -> Tensor:
        """Return the sum [rows, B] of the targets that the rows and that the columns of the logits have."""
        inverse = 1.0 / self._totals()
        return self.matches(rows) * (inverse[self._global(rows), None] + inverse[None, :])

    def targets_within(self, rows: slice) -> Tensor:
        """Return the targets [rows, B] within a modality; a row sums to its certainty, or to 0 without others."""
        others = (self._group_sizes[self._codes] - 1).clamp(min=1).to(self._dtype)
        return self.matches(rows).masked_fill(self.identity(rows), 0.0) / others[self._global(rows), None]

    def _totals(self) -> Tensor:
        """Return the sum [B] of every row of m, which is that of its column too."""
        if not self.labels.spreads:
            return torch.ones(self.size, dtype=self._dtype, device=self.groups.device)
        if self._certainty is None:
            return self._group_sizes[self._codes].to(self._dtype)
        sums = self._certainty.new_zeros(len(self._group_sizes)).index_add_(0, self._codes, self._certainty)
        return 1.0 + self._certainty * (sums[self._codes] - self._certainty)

    def _certain(self, rows: slice) -> Tensor:
        """Return how sure it is [rows, B] that two listings of a group are one product; 0 where they are left out."""
        if self._certainty is None:
            return torch.zeros((), dtype=self._dtype, device=self.groups.device)
        return self._certainty[self._global(rows), None] * self._certainty[None, :]

    def _global(self, rows: slice) -> slice:
        return slice(self.own.start + rows.start, self.own.start + rows.stop)
