"""Rows into batches, first fit: what belongs together stays together, and groups meet only where they should."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LOOK_AHEAD = (
    64  # open batches that a piece of several rows is tried in: bounds the time where many have one place left
)


def place(pieces: Sequence[list[int]], groups: np.ndarray, sizes: Sequence[int], *, distinct: bool) -> list[list[int]]:
    """Put every piece into the first batch that has room for it; return the rows of every batch.

    A piece of several rows that fits nowhere whole is placed row by row; a row that fits nowhere is left out.

    Args:
        pieces: rows that belong together, of one group each.
        groups: int64 [N], the product that a row shows.
        sizes: of the batches.
        distinct: a batch takes one piece of a group only.
    """
    batches = _Batches(groups, sizes, distinct)
    for piece in pieces:
        if len(piece) > 1 and not batches.put(piece, _LOOK_AHEAD):
            for row in piece:
                batches.put([row])
        elif len(piece) == 1:
            batches.put(piece)
    return batches.rows


class _Batches:
    def __init__(self, groups: np.ndarray, sizes: Sequence[int], distinct: bool) -> None:
        self.rows: list[list[int]] = [[] for _ in sizes]
        self._groups, self._sizes = groups, sizes
        self._taken: list[set[int]] | None = [set() for _ in sizes] if distinct else None
        self._first_open = 0

    def put(self, piece: list[int], look_ahead: int | None = None) -> bool:
        """Put a piece into one of the open batches, the next ``look_ahead`` at most; return whether one has room."""
        group = int(self._groups[piece[0]])
        end = len(self._sizes) if look_ahead is None else min(len(self._sizes), self._first_open + look_ahead)
        for number in range(self._first_open, end):
            if self._has_room(number, piece, group):
                self.rows[number] += piece
                if self._taken is not None:
                    self._taken[number].add(group)
                self._close_full_ones()
                return True
        return False

    def _has_room(self, number: int, piece: list[int], group: int) -> bool:
        if len(self.rows[number]) + len(piece) > self._sizes[number]:
            return False
        return self._taken is None or group not in self._taken[number]

    def _close_full_ones(self) -> None:
        while self._first_open < len(self.rows) and len(self.rows[self._first_open]) == self._sizes[self._first_open]:
            self._first_open += 1
