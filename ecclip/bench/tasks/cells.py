"""A cell of the benchmark of tasks: one system on one task of one set, from one modality, kept once it is measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ecclip.bench.machine import commit
from ecclip.bench.quality import difference, kept, ratio
from ecclip.bench.result import CellRow, Result
from ecclip.core import canonical_json, fingerprint, get_logger, sha256_bytes

OURS, CHEAP, FROZEN = "ours", "cheap", "frozen towers"


@dataclass(frozen=True)
class Measured:
    """A metric as a ratio of sums over test units (pairs, queries, listings), so that units can be resampled.

    The value is sum(above) / sum(below); ``products`` says which units are of one product. Systems of a cell measure
    the same units in the same order.
    """

    above: np.ndarray
    below: np.ndarray
    products: np.ndarray


Measure = Callable[[Path, Path, "Cell"], Mapping[str, Measured]]


@dataclass(frozen=True)
class Cell:
    """What is measured: ``measure`` names a function ``module:function`` that takes data, a work folder and the cell.

    It returns metrics by name, of all of which more is better.
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
class Done:
    """A measured cell, and the commit of the code that measured it."""

    cell: Cell
    metrics: dict[str, Measured]
    commit: str


def measure_cells(cells: Iterable[Cell], data: Path, work: Path) -> list[Done]:
    """Measure every cell whose figures are not in ``work`` yet by the same code, in order."""
    return [_measured(cell, data, work) for cell in cells]


def enter_cells(result: Result, done: Sequence[Done]) -> None:
    """Enter a row per metric of each cell, what ours gains over other systems, and how many cells end how."""
    systems: dict[tuple[str, str, str], dict[str, Done]] = {}
    for one in done:
        systems.setdefault(one.cell.place, {})[one.cell.system] = one
        for metric, found in one.metrics.items():
            interval = ratio(found.above, found.below, found.products)
            result.rows.append(_row(one.cell, one.cell.system, metric, interval, len(found.above), one.commit))
    outcomes = []
    for measured in systems.values():
        for system in sorted(measured.keys() & {CHEAP, FROZEN}) if OURS in measured else ():
            gains = _enter_gains(result, measured[OURS], measured[system])
            outcomes += gains[:1] if system == FROZEN else []
    if outcomes:
        result.head(
            cells_ahead=sum(low > 0 for low, _ in outcomes),
            cells_behind=sum(high < 0 for _, high in outcomes),
            cells_total=len(outcomes),
        )


def _enter_gains(result: Result, ours: Done, other: Done) -> list[tuple[float, float]]:
    """Enter the paired difference of every metric; return the intervals, that of the first metric first."""
    found = []
    for metric in (name for name in ours.metrics if name in other.metrics):
        one, two = ours.metrics[metric], other.metrics[metric]
        interval = difference((one.above, one.below), (two.above, two.below), one.products)
        system = f"{OURS} over {other.cell.system}"
        result.rows.append(_row(ours.cell, system, f"gain of {metric}", interval, len(one.above), ours.commit))
        found.append(interval[1:])
    return found


def _row(cell: Cell, system: str, metric: str, interval: Sequence[float], count: int, made_by: str) -> CellRow:
    value, low, high = (round(float(number), 4) for number in interval)
    dataset, task, modality = cell.place
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
        commit=made_by,
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
