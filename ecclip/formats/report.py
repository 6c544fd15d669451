"""The report of a night's tasks: what ``evaluate`` measured, on what, and beside whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ecclip.errors import IntegrityError
from ecclip.formats.documents import read_document, read_field, write_document

SCHEMA = "ecclip.report/1"
FROZEN_START = "frozen_start"  # the pretrained weights before any training of ours, with heads fitted alike
ZERO_SHOT = "zero_shot"  # the same weights without any head: the label whose prompt is nearest
_NEXT_STEP = "run evaluate of its night again"
_LATER = ("comparisons", "cells")  # fields that reports of earlier versions do not have


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two systems on the same test listings, by one metric of one task and modality.

    Attributes:
        metric: the metric, of which more is better.
        rows: listings that it rests on; of a flag those on its rarer side.
        ours: value of the trained model.
        other: value of the other system.
        difference: ours minus other.
        error: standard error of the difference, by resampling whole groups.
        low: lower end of the 95 % interval of the difference.
        high: upper end.
    """

    metric: str
    rows: int
    ours: float
    other: float
    difference: float
    error: float
    low: float
    high: float

    @property
    def outcome(self) -> Literal["ahead", "behind", "even"]:
        """Where ours stands: beyond the interval on either side, or neither."""
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "even"


@dataclass(frozen=True, kw_only=True)
class SharedLabels:
    """What two heads of one name with other labels were compared on: classes that both can answer.

    Attributes:
        gained: labels that the other one does not have.
        lost: labels that only the other one has.
        levels: test listings by the level, from 1 at the root, of the class that they were compared in.
        left_out: labelled test listings for which there is no such class.
    """

    gained: int
    lost: int
    levels: dict[str, int]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Rescored:
    """A bundle and another system on the same test listings of tonight; by what both can answer where labels differ.

    Attributes:
        ours: metrics of the bundle, by their names in a report.
        theirs: metrics of the other system; those that it cannot have are missing.
        cells: comparisons by task and modality (``category/image``), and by part of the catalog
            (``category/image, root: home``).
        labels: heads whose labels differ.
        rows: test listings that the metrics of these heads rest on, by ``<head>/<modality>/test``.
    """

    ours: dict[str, float]
    theirs: dict[str, float]
    cells: dict[str, Comparison]
    labels: dict[str, SharedLabels] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """Metrics, and what they hang on.

    Attributes:
        metrics: by name ``<task>/<modality>/<metric>``.
        lineage: the digests of the snapshot, the training, its towers and the embeddings.
        intervals: 95 % interval [low, high] of metrics.
        slices: metrics of parts of the test listings, by name of the metric and of the part.
        rows: how many listings there were, by what for.
        missing: why a metric, or a whole task, is not there.
        comparisons: by cell ``<task>/<modality>`` and system, the fields of a :class:`Comparison`.
        cells: how many cells there are (``cells_total``), and in how many ours is beyond the interval of the difference
            to the frozen start (``cells_ahead``, ``cells_behind``) or a tower serves that the training began with
            (``cells_fallback``).
    """

    metrics: dict[str, float]
    lineage: dict[str, str]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    slices: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    comparisons: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    cells: dict[str, int] = field(default_factory=dict)

    def compared_with(self, system: str) -> dict[str, Comparison]:
        """Return the comparisons with a system by cell."""
        return {cell: Comparison(**found[system]) for cell, found in self.comparisons.items() if system in found}


def count_cells(compared: Iterable[Comparison], fallback: int = 0) -> dict[str, int]:
    """Return ``cells_ahead``, ``cells_behind``, ``cells_fallback`` and ``cells_total`` of comparisons, one per cell."""
    outcomes = [one.outcome for one in compared]
    counts = {f"cells_{name}": outcomes.count(name) for name in ("ahead", "behind")}
    return counts | {"cells_fallback": fallback, "cells_total": len(outcomes)}


def write_report(report: TaskReport, path: Path) -> None:
    """Write a report as JSON that names its schema."""
    write_document(path, SCHEMA, asdict(report))


def read_report(path: Path) -> TaskReport:
    """Return what :func:`write_report` wrote.

    Raises:
        ContractError: it has a schema that this code does not know.
        IntegrityError: it cannot be read; names the file and, where it is one, the field.
    """
    later: dict[str, Any] = {name: {} for name in _LATER}
    content = later | read_document(path, SCHEMA, _NEXT_STEP)
    found = {one.name: read_field(content, one.name, dict, path, _NEXT_STEP) for one in fields(TaskReport)}
    for name, value in found["metrics"].items():
        if not isinstance(value, int | float):
            raise IntegrityError(
                f"the metric {name} of {path} is no number", value=repr(value)[:80], next_step=_NEXT_STEP
            )
    return TaskReport(**found)
