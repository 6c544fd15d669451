"""What the heads of a modality read of each listing, and in which coordinates they are fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecclip.tasks.heads.axes import Axes, principal_axes
from ecclip.tasks.heads.linear import LinearHead
from ecclip.tasks.rows import Rows


@dataclass(frozen=True)
class Reading:
    """Columns int64 [F] of the joined inputs [N, width] that a head reads, and their coordinates, float32 [N, r]."""

    columns: np.ndarray
    axes: Axes
    turned: np.ndarray
    width: int

    def widen(self, head: LinearHead) -> LinearHead:
        """Return a head [r, C] of the coordinates as one of the joined inputs, [width, C]."""
        own = self.axes.restore(head)
        weight = np.zeros((self.width, own.weight.shape[1]))
        weight[self.columns] = own.weight
        return replace(own, weight=weight)


class Readings:
    """The readings of every modality and choice of features, each made once; axes are those of the train listings.

    Args:
        rows: the listings.
        joined: what is read of photo and title side by side, float32 [N, i + t].
        widths: i and t.
        most: axes that are kept.
    """

    def __init__(self, rows: Rows, joined: np.ndarray, widths: tuple[int, int], most: int) -> None:
        self.joined, self.widths, self._rows, self._most = joined, widths, rows, most
        self._made: dict[tuple[str, str], Reading] = {}

    def of(self, modality: str, choice: str) -> Reading:
        """Return what heads of ``modality`` read by ``choice``: the embedding, the towers' features, or both."""
        if (modality, choice) not in self._made:
            self._made[modality, choice] = self._make(modality, choice)
        return self._made[modality, choice]

    def _make(self, modality: str, choice: str) -> Reading:
        blocks = blocks_read(modality, choice, self._rows.dim, self.widths)
        columns = np.concatenate(blocks)
        read = self.joined[:, columns]
        train = (self._rows.split == "train") & self._rows.has(modality)
        axes = principal_axes(read[train], [len(block) for block in blocks], self._most)
        return Reading(columns, axes, axes.turn(read), self.joined.shape[1])


def blocks_read(modality: str, choice: str, dim: int, widths: tuple[int, int]) -> list[np.ndarray]:
    """Return the blocks of columns, int64 [F_b], of the joined inputs that a head of ``modality`` reads.

    A block is the embedding or the features of one tower (``heads.features`` is the choice).
    """
    starts = {"image": (0, widths[0]), "text": (widths[0], widths[1])}
    embedding, features = slice(0, dim), slice(dim, None)
    parts = {"embedding": [embedding], "towers": [features], "both": [embedding, features]}[choice]
    return [
        start + np.arange(width)[part]
        for start, width in (starts[name] for name in ("image", "text") if modality in (name, "both"))
        for part in parts
        if len(range(width)[part])
    ]
