"""Paths as labels: the score of a category is the sum of those below it, and answers back off from leaf to parent.

The scores of all levels are sums of one distribution, so that they are consistent: nothing is likelier than its parent.
Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecclip.tasks.scores import EVEN_CHANCE

LEAF = 0  # level of an answer that did not back off


@dataclass(frozen=True)
class _Level:
    """The categories at one level: their paths [P], and the labels below them as a run of ``order`` each."""

    paths: list[tuple[str, ...]]
    order: np.ndarray
    starts: np.ndarray

    def sums(self, scores: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.add.reduceat(scores[:, self.order], self.starts, axis=1)
        return result


@dataclass(frozen=True)
class BackedOff:
    """Answers to M listings: the level of each, :data:`LEAF` of one that did not back off, and its place there."""

    level: np.ndarray
    place: np.ndarray


class Levels:
    """The levels above the labels of a head, each a path root to leaf; one text alone is a path of one level."""

    def __init__(self, labels: Sequence[Sequence[str]]) -> None:
        self._labels = [(label,) if isinstance(label, str) else tuple(label) for label in labels]
        self.depths = np.array([len(label) for label in self._labels], dtype=np.int64)
        self._levels = {level: self._level(level) for level in range(1, int(self.depths.max(initial=0)))}

    @property
    def above(self) -> list[int]:
        """Return the levels that an answer may back off to, the deepest first."""
        return sorted(self._levels, reverse=True)

    def paths(self, level: int) -> list[tuple[str, ...]]:
        """Return the paths [P] of a level; those of the labels at :data:`LEAF`."""
        return self._labels if level == LEAF else self._levels[level].paths

    def scores(self, scores: np.ndarray, level: int) -> np.ndarray:
        """Return the probabilities [M, P] of the categories at a level from those [M, C] of the labels.

        A label that ends above the level is below none of them.
        """
        return self._levels[level].sums(scores)

    def places(self, paths: Sequence[Sequence[str]], level: int) -> np.ndarray:
        """Return the place of what each path lies below at a level, int64 [M]; -1 where that is no category of it."""
        number = {path: place for place, path in enumerate(self.paths(level))}
        return np.array([number.get(tuple(path[:level]), -1) for path in paths], dtype=np.int64)

    def back_off(self, scores: np.ndarray, certain: np.ndarray, thresholds: Mapping[int, float]) -> BackedOff:
        """Return the answers of ``scores`` [M, C]: the deepest category whose guarantee holds.

        Where the leaf is not ``certain``, bool [M], it is the best category of the deepest level above it at which that
        reaches the threshold of the level; the best leaf where there is none.
        """
        leaf = scores.argmax(axis=1)
        level, place, is_open = np.full(len(scores), LEAF), leaf.copy(), ~certain
        for one in (one for one in self.above if one in thresholds):
            asked = np.flatnonzero(is_open & (self.depths[leaf] > one))
            if not len(asked):
                continue
            sums = self.scores(scores[asked], one)
            best = sums.argmax(axis=1)
            reached = sums[np.arange(len(asked)), best] >= max(float(thresholds[one]), EVEN_CHANCE)
            level[asked[reached]], place[asked[reached]] = one, best[reached]
            is_open[asked[reached]] = False
        return BackedOff(level, place)

    def _level(self, level: int) -> _Level:
        reaching = [number for number, label in enumerate(self._labels) if len(label) >= level]
        order = sorted(reaching, key=lambda number: self._labels[number][:level])
        above = [self._labels[number][:level] for number in order]
        starts = [place for place in range(len(above)) if not place or above[place] != above[place - 1]]
        return _Level([above[place] for place in starts], np.array(order), np.array(starts))
