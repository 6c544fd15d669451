"""The results of an evaluation: metrics, and the reasons for those that could not be measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ecclip.formats.report import FROZEN_START, Comparison, TaskReport, count_cells
from ecclip.tasks.guarantee import AutoCell


@dataclass
class Findings:
    """Metrics by name ``<task>/<modality>/<metric>``, their intervals, slices, rows and reasons for gaps.

    Beside them comparisons with other systems by cell, and how the cells end.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    slices: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    comparisons: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    cells: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, value: float, interval: tuple[float, float] | None = None) -> None:
        """Add a metric; one that is not finite is missing, never zero."""
        if not math.isfinite(value):
            self.add_missing(name, "not defined on these rows")
            return
        self.metrics[name] = round(float(value), 6)
        if interval is not None and all(map(math.isfinite, interval)):
            self.intervals[name] = [round(edge, 6) for edge in interval]

    def add_missing(self, name: str, reason: str) -> None:
        """Record why a metric, or a whole task, could not be measured."""
        self.missing[name] = reason

    def add_auto(self, prefix: str, cell: AutoCell) -> None:
        """Add coverage and precision of `auto` answers beside the promise, as ``<prefix>/auto_*``."""
        self.rows[f"{prefix}/auto"] = cell.auto
        self.add(f"{prefix}/auto_coverage", cell.coverage)
        self.add(f"{prefix}/auto_promise", cell.promise)
        if cell.auto:
            self.add(f"{prefix}/auto_precision", cell.precision)
            self.add(f"{prefix}/auto_precision_at_most", cell.precision_at_most)

    def compare(self, system: str, compared: Mapping[str, Comparison], fallback: int = 0) -> None:
        """Add comparisons with a system by cell; those with the frozen start decide where the cells end."""
        for cell, one in compared.items():
            self.comparisons.setdefault(cell, {})[system] = asdict(one)
        if system == FROZEN_START:
            self.cells = count_cells(compared.values(), fallback)

    def report(self, lineage: dict[str, str]) -> TaskReport:
        """Return them as the report of what was made from ``lineage``."""
        return TaskReport(lineage=lineage, **vars(self))
