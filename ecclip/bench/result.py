"""Results of benchmarks: ``results/<name>.json``, the common format for figures."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ecclip.atomic import canonical_json, write_atomic
from ecclip.errors import ResultError

OURS = "ours"  # the system of a cell that others are compared with
CITED = "cited"  # in the place of a commit: the figure was published, not measured
OUTCOME = "gain over the better start,"  # metrics that say how a cell ends begin so
KEYS = ("command", "commit", "date", "headline", "machine", "rows")


@dataclass(frozen=True)
class Row:
    """One figure: what was measured of which system, with the lowest and highest of ``n`` repetitions."""

    what: str
    system: str
    value: float
    unit: str
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class CellRow(Row):
    """A figure of one cell: a system on a task of a set, from a modality, by a metric; and the commit that made it."""

    dataset: str
    task: str
    modality: str
    metric: str
    commit: str


@dataclass
class Result:
    """All figures of one run of one benchmark.

    Attributes:
        command: the command that reproduces the figures.
        commit: of the code that was measured.
        machine: facts that decide the figures; no names of hosts or people, no paths.
        date: ISO date, UTC.
        rows: the figures.
        headline: the few that are followed from release to release, by their unchanging names.
    """

    command: str
    commit: str
    machine: dict[str, Any]
    date: str
    rows: list[Row] = field(default_factory=list)
    headline: dict[str, float] = field(default_factory=dict)

    def add(self, what: str, system: str, unit: str, values: Sequence[float]) -> float:
        """Enter the median of repetitions, with the lowest and the highest of them, and return it."""
        middle = statistics.median(values)
        low, high = min(values), max(values)
        self.rows.append(Row(what, system, _short(middle), unit, _short(low), _short(high), len(values)))
        return middle

    def head(self, **numbers: float) -> None:
        """Enter numbers of the headline."""
        self.headline |= {name: _short(value) for name, value in numbers.items()}


def write_result(result: Result, path: Path) -> None:
    """Write the file whole or not at all.

    Raises:
        ResultError: a number is not finite.
    """
    values = [*result.headline.values(), *(v for row in result.rows for v in (row.value, row.low, row.high))]
    if not all(math.isfinite(value) for value in values):
        raise ResultError(
            "a figure is not finite",
            value=path.name,
            next_step="check what was measured, then run the benchmark again",
        )
    write_atomic(path, canonical_json(asdict(result)))


def read_result(path: Path) -> Result:
    """Return what a file holds.

    Raises:
        ResultError: the file is missing or has not exactly the fields of the format.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return parse_result(values)
    except (OSError, ValueError, TypeError, KeyError, ResultError) as error:
        raise ResultError(
            "no result of a benchmark",
            value=f"{path}: {error}",
            next_step="run the benchmark that writes this file again",
        ) from error


def parse_result(values: Mapping[str, Any]) -> Result:
    """Return the result that a JSON object describes.

    Raises:
        ResultError: a field is missing, unknown, or not what it should be.
    """
    if sorted(values) != sorted(KEYS):
        raise ResultError(
            "a result has other fields than wanted",
            value=sorted(values),
            limit=sorted(KEYS),
            next_step="run the benchmark again with this version",
        )
    rows = [CellRow(**row) if "dataset" in row else Row(**row) for row in values["rows"]]
    for row in rows:
        if not row.low <= row.value <= row.high or row.n < 1:
            raise ResultError(
                f"{row.what}: {row.low} <= {row.value} <= {row.high} of {row.n} does not hold",
                next_step="run the benchmark that writes this file again",
            )
    return Result(**{**values, "rows": rows})


def _short(value: float) -> float:
    """Return a number with five significant digits: more would claim a precision that repetitions do not show."""
    return float(f"{value:.5g}")
