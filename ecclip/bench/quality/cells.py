"""In which cells training pays: ours beside the better of the frozen start's sizes, which validation chooses.

A cell is a label of one set, from one modality. Test listings decide nothing but the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ecclip.bench.quality.gain import Interval, difference
from ecclip.bench.result import Result, Row

Hits = Mapping[str, np.ndarray]  # right answers by modality: 1, 0 or NaN where a listing is not asked, float64 [N]


@dataclass(frozen=True)
class Answered:
    """Right answers of a system to the listings of split test, and to those of split validation."""

    test: Hits
    validation: Hits


@dataclass(frozen=True)
class Cell:
    """A cell: what ours gains over the frozen start on test listings, and on those by which a night would fall back."""

    name: str
    beside: str
    gain: Interval
    listings: int
    on_validation: Interval

    @property
    def outcome(self) -> Literal["ahead", "behind", "even"]:
        """Where ours stands: beyond the interval on either side, or neither."""
        _, low, high = self.gain
        return "ahead" if low > 0 else "behind" if high < 0 else "even"

    @property
    def falls_back(self) -> bool:
        """Whether validation proves the frozen start better: a night would serve that."""
        return self.on_validation[2] < 0


def cells_of(label: str, ours: Answered, frozen: Mapping[str, Answered], groups: np.ndarray) -> list[Cell]:
    """Return the cells of a label.

    Args:
        label: its name.
        ours: the trained towers, which count even where a night would fall back.
        frozen: the frozen start by the size of photos; the best on validation is what ours is held against.
        groups: product number of every listing [N].
    """
    found = []
    for modality in ours.test:
        best = max(frozen, key=lambda name: float(np.nanmean(frozen[name].validation[modality])))
        other = frozen[best]
        gain, listings = _gain(ours.test[modality], other.test[modality], groups)
        on_validation, _ = _gain(ours.validation[modality], other.validation[modality], groups)
        found.append(Cell(f"{modality}, {label}", best, gain, listings, on_validation))
    return found


def enter_cells(result: Result, cells: Sequence[Cell]) -> None:
    """Enter every cell, and how many end how; ``cells_fallback`` are those that a night would not serve."""
    for cell in cells:
        value, low, high = (round(one, 4) for one in cell.gain)
        what = f"gain of training, {cell.name}"
        result.rows.append(Row(what, f"over {cell.beside}", value, "share", low, high, cell.listings))
    outcomes = [cell.outcome for cell in cells]
    result.head(
        cells_ahead=outcomes.count("ahead"),
        cells_behind=outcomes.count("behind"),
        cells_fallback=sum(cell.falls_back for cell in cells),
        cells_total=len(cells),
    )


def _gain(ours: np.ndarray, other: np.ndarray, groups: np.ndarray) -> tuple[Interval, int]:
    asked = ~np.isnan(ours) & ~np.isnan(other)
    ones = np.ones(int(asked.sum()))
    return difference((ours[asked], ones), (other[asked], ones), groups[asked]), len(ones)
