"""A cell of the benchmark of tasks: one system on one task of one set, from one modality, kept once it is measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ecclip.bench.machine import commit
from ecclip.bench.quality import Interval, difference, kept, ratio
from ecclip.bench.result import OURS, OUTCOME, CellRow, Result
from ecclip.core import canonical_json, fingerprint, get_logger, sha256_bytes

CHEAP, FROZEN, SUPERVISED = "cheap", "frozen towers", "supervised fine-tune"
SYSTEMS = (CHEAP, FROZEN, OURS)
# what a measure may return beside its metrics: the first of them on validation units, which is no figure of the table
ON_VALIDATION = "on validation"


def frozen(size: int) -> str:
    """Return the name of the frozen towers that see photos of ``size`` pixels."""
    return f"{FROZEN}, {size} px"


@dataclass(frozen=True)
class Measured:
    """A metric as a ratio of sums over test units (pairs, queries, listings), so that units can be resampled.

    The value is sum(above) / sum(below); ``products`` says which units are of one product. Systems of a cell measure
    the same units in the same order.
    """

    above: np.ndarray
    below: np.ndarray
    products: np.ndarray

    @property
    def value(self) -> float:
        """The metric."""
        return float(self.above.sum() / max(self.below.sum(), 1e-12))


Measure = Callable[[Path, Path, "Cell"], Mapping[str, Measured]]
Place = tuple[str, str, str, str]  # set, task, modality, metric


@dataclass(frozen=True)
class Cell:
    """What is measured: ``measure`` names a function ``module:function`` that takes data, a work folder and the cell.

    It returns metrics by name, of all of which more is better; the first one decides whether ours is ahead. What it
    returns as ``ON_VALIDATION`` says which of several frozen systems is the better one, and whether a night would fall
    back to it.
    """

    dataset: str
    task: str
    modality: str
    system: str
    measure: str

    @property
    def name(self) -> str:
        """A name that no other cell has."""
        return ", ".join((self.dataset, self.task, self.modality, self.system))

    @property
    def place(self) -> tuple[str, str, str]:
        """Set, task and modality: what systems are compared in."""
        return self.dataset, self.task, self.modality

    def function(self) -> Measure:
        """Return the function that measures it."""
        module, name = self.measure.split(":")
        found: Measure = getattr(importlib.import_module(module), name)
        return found


@dataclass(frozen=True)
class Part:
    """Cells that belong together, as a module of this folder gives them to the benchmark.

    Attributes:
        cells: what is measured.
        headline: figures of ours that are followed by name: set, task, modality and metric.
        published: set, task, modality and metric to what a paper or its page says of a system on the same test part
            (system, value, number of units). Cited, never measured here.
    """

    cells: Sequence[Cell]
    headline: Mapping[str, Place] = field(default_factory=dict)
    published: Mapping[Place, tuple[str, float, int]] = field(default_factory=dict)


def side_by_side(
    measure: Measure, datasets: Iterable[str], task: str, modality: str, systems: Sequence[str] = SYSTEMS
) -> list[Cell]:
    """Return a cell for each set and system; ``measure`` is a function at the top of its module."""
    made_by = f"{measure.__module__}:{measure.__name__}"
    return [Cell(name, task, modality, system, made_by) for name in datasets for system in systems]


@dataclass(frozen=True)
class Done:
    """A measured cell, and the commit of the code that measured it."""

    cell: Cell
    metrics: dict[str, Measured]
    commit: str

    @property
    def figures(self) -> dict[str, Measured]:
        """The metrics that are entered as rows."""
        return {name: one for name, one in self.metrics.items() if name != ON_VALIDATION}


def measure_cells(cells: Iterable[Cell], data: Path, work: Path) -> list[Done]:
    """Measure every cell whose figures are not in ``work`` yet by the same code, in order."""
    return [_measured(cell, data, work) for cell in cells]


def enter_cells(result: Result, done: Sequence[Done]) -> None:
    """Enter a row per metric of each cell, what ours gains over other systems, and how ours stands in each."""
    systems: dict[tuple[str, str, str], dict[str, Done]] = {}
    for one in done:
        systems.setdefault(one.cell.place, {})[one.cell.system] = one
        for metric, found in one.figures.items():
            interval = ratio(found.above, found.below, found.products)
            result.rows.append(_row(one, one.cell.system, metric, interval, len(found.above)))
    for measured in systems.values():
        for system in sorted(measured.keys() - {OURS}) if OURS in measured else ():
            ours, other = measured[OURS], measured[system]
            shared = (metric for metric in ours.figures if metric in other.figures)
            result.rows += [_gain_row(ours, other, metric, "gain of") for metric in shared]
        rivals = [one for system, one in measured.items() if system.startswith(FROZEN)]
        if OURS in measured and rivals:
            _enter_outcome(result, measured[OURS], rivals)


def enter_outcomes(result: Result) -> None:
    """Enter in the headline in how many cells ours is ahead of the better frozen towers, behind, or not served."""
    every = [row for row in result.rows if isinstance(row, CellRow) and row.metric.startswith(OUTCOME)]
    validated = [row for row in every if row.metric.endswith(ON_VALIDATION)]
    outcomes = [row for row in every if row not in validated]
    if outcomes:
        result.head(
            cells_ahead=sum(row.low > 0 for row in outcomes),
            cells_behind=sum(row.high < 0 for row in outcomes),
            cells_fallback=sum(row.high < 0 for row in validated),
            cells_total=len(outcomes),
        )


def _enter_outcome(result: Result, ours: Done, rivals: Sequence[Done]) -> None:
    """Enter what ours gains over the better frozen towers, by the first metric, and by it on validation.

    The better ones are chosen on validation; by the figure itself, which favours them, where that was not measured.
    """
    metric = next(iter(ours.figures))
    on_validation = all(ON_VALIDATION in one.metrics for one in (ours, *rivals))
    chosen_by = ON_VALIDATION if on_validation else metric
    best = max(rivals, key=lambda one: one.metrics[chosen_by].value)
    result.rows.append(_gain_row(ours, best, metric, OUTCOME))
    if on_validation:
        result.rows.append(_gain_row(ours, best, ON_VALIDATION, OUTCOME))


def _gain_row(ours: Done, other: Done, metric: str, name: str) -> CellRow:
    """Return a row with the paired difference of a metric."""
    one, two = ours.metrics[metric], other.metrics[metric]
    gain = difference((one.above, one.below), (two.above, two.below), one.products)
    return _row(ours, f"{OURS} over {other.cell.system}", f"{name} {metric}", gain, len(one.above))


def _row(done: Done, system: str, metric: str, interval: Interval, count: int) -> CellRow:
    value, low, high = (round(float(number), 4) for number in interval)
    dataset, task, modality = done.cell.place
    return CellRow(
        what=f"{task}, {modality}, {dataset}: {metric}",
        system=system,
        value=value,
        unit="share",
        low=low,
        high=high,
        n=count,
        dataset=dataset,
        task=task,
        modality=modality,
        metric=metric,
        commit=done.commit,
    )


def _measured(cell: Cell, data: Path, work: Path) -> Done:
    function = cell.function()
    key = sha256_bytes(canonical_json(fingerprint(function)).encode())[:16]
    file = work / f"{cell.name.replace(', ', '-').replace(' ', '_')}-{key}.npz"

    def make() -> dict[str, np.ndarray]:
        get_logger().info("measuring", cell=cell.name)
        with threadpool_limits(limits=1):  # of trees and products: threads that wait for each other gain nothing here
            found = function(data, work, cell)
        arrays = {f"{name}|{part}": values for name, one in found.items() for part, values in vars(one).items()}
        return {"commit": np.array(commit()), **arrays}

    arrays = kept(file, make)
    names = dict.fromkeys(name.split("|")[0] for name in arrays if "|" in name)
    metrics = {
        name: Measured(**{part: arrays[f"{name}|{part}"] for part in Measured.__annotations__}) for name in names
    }
    return Done(cell, metrics, str(arrays["commit"]))
