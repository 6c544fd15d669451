"""The benchmark of tasks: leaks are out, figures are those of plain loops, a measured cell is not measured again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ecclip.bench import OURS, OUTCOME, Result, markdown, new_result, read_result, task_cells, write_result
from ecclip.bench.tasks import cells, clusters, pairs
from ecclip.bench.tasks.cells import Cell, Measured

CALLS: list[str] = []
MADE_BY = f"{__name__}:measure"


def measure(data: Path, work: Path, cell: Cell) -> dict[str, Measured]:
    """Measure nothing: ours is right about every second unit, the others about every third."""
    CALLS.append(cell.name)
    above = (np.arange(60) % (2 if cell.system == OURS else 3) == 0) * 1.0
    return {"F1": Measured(above, np.ones(60), np.arange(60) // 2)}


def _run(folder: Path) -> Result:
    every_cell = [Cell("set", "task", "text", system, MADE_BY) for system in cells.SYSTEMS]
    result = new_result("ecclip bench tasks")
    cells.enter_cells(result, cells.measure_cells(every_cell, folder, folder))
    return result


def test_a_cell_is_measured_once_and_compared_with_the_other_systems(tmp_path: Path) -> None:
    CALLS.clear()
    result = _run(tmp_path)
    assert len(CALLS) == 3
    assert _run(tmp_path).rows == result.rows
    assert len(CALLS) == 3, "a second run goes on where the first one ended"
    assert {(row.system, row.value) for row in result.rows} == {
        (OURS, 0.5),
        (cells.CHEAP, 0.3333),
        (cells.FROZEN, 0.3333),
        ("ours over cheap", 0.1667),
        ("ours over frozen towers", 0.1667),
    }
    cells.enter_outcomes(result)
    assert result.headline == {"cells_ahead": 1, "cells_behind": 0, "cells_fallback": 0, "cells_total": 1}
    lines = markdown(result).splitlines()
    assert "| what | n | cheap | frozen towers | ours | over the better start | published |" in lines
    assert sum(line.startswith("| task, text, set: F1 | 60 | 0.333 (") for line in lines) == 1
    write_result(result, tmp_path / "tasks.json")
    assert read_result(tmp_path / "tasks.json") == result


def test_rows_of_cells_that_a_run_leaves_out_stay(tmp_path: Path) -> None:
    before, now = _run(tmp_path), new_result("ecclip bench tasks")
    cells.enter_cells(now, cells.measure_cells([Cell("other", "task", "text", OURS, MADE_BY)], tmp_path, tmp_path))
    now.rows += task_cells.kept_rows(before, now)
    assert [row.value for row in now.rows] == [0.5, *(row.value for row in before.rows)]
    assert not task_cells.kept_rows(before, before)


def measure_two_sizes(data: Path, work: Path, cell: Cell) -> dict[str, Measured]:
    """Measure nothing: on validation the frozen towers are better at 224 pixels than at 128, and than ours."""
    right = {cells.frozen(128): (0.9, 0.2), cells.frozen(224): (0.6, 0.8), OURS: (0.8, 0.3)}
    values = dict(zip(("accuracy", cells.ON_VALIDATION), right[cell.system], strict=True))
    return {
        name: Measured((np.arange(200) < 200 * share) * 1.0, np.ones(200), np.arange(200))
        for name, share in values.items()
    }


def test_ours_is_held_against_the_frozen_size_that_validation_chooses(tmp_path: Path) -> None:
    systems = (cells.frozen(128), cells.frozen(224), OURS)
    every_cell = cells.side_by_side(measure_two_sizes, ["set"], "task", "image", systems)
    result = new_result("ecclip bench tasks")
    cells.enter_cells(result, cells.measure_cells(every_cell, tmp_path, tmp_path))
    cells.enter_outcomes(result)
    assert result.headline == {"cells_ahead": 1, "cells_behind": 0, "cells_fallback": 1, "cells_total": 1}
    outcomes = [row.value for row in result.rows if row.what.startswith(f"task, image, set: {OUTCOME}")]
    assert outcomes == pytest.approx([0.2, -0.5]), "over 224 pixels, on test and on validation"


def test_every_cell_names_a_function_and_the_headline_names_cells() -> None:
    assert len({one.name for one in task_cells.CELLS}) == len(task_cells.CELLS)
    assert all(callable(one.function()) for one in task_cells.CELLS)
    places = {one.place for one in task_cells.CELLS}
    assert {place[:3] for place in task_cells.HEADLINE.values()} <= places
    assert {place[:3] for place in task_cells.PUBLISHED} <= places


def _some_pairs() -> pairs.PairSet:
    chance = np.random.default_rng(0)
    left, right = chance.integers(0, 20, 80), 20 + chance.integers(0, 20, 80)
    split = np.array(["train", "valid", "test"])[np.arange(80) % 3]
    return pairs.PairSet("x", [], np.zeros(40), left, right, chance.integers(0, 2, 80), split, np.arange(40))


def test_figures_of_pairs_are_those_of_plain_loops() -> None:
    some, chance = _some_pairs(), np.random.default_rng(1)
    test = some.within(pairs.TEST)
    matched = chance.random(len(test)) < 0.5
    found = {name: one.above.sum() / one.below.sum() for name, one in pairs.judge(some, test, matched).items()}
    rows = [(some.left[place], some.labels[place], bool(said)) for place, said in zip(test, matched, strict=True)]

    def f1(chosen: list[tuple[int, int, bool]]) -> float:
        right = sum(label and said for _, label, said in chosen)
        return float(2 * right / (sum(label for _, label, _ in chosen) + sum(said for *_, said in chosen)))

    assert found["F1"] == pytest.approx(f1(rows))
    queries = {query for query, label, _ in rows if label}
    each = [f1([row for row in rows if row[0] == query]) for query in queries]
    assert found["mean F1 of queries with a match"] == pytest.approx(np.mean(each))


def test_the_threshold_of_the_best_f1_is_found_and_equal_scores_are_decided_together() -> None:
    labels, scores = np.array([1, 1, 0, 1, 0, 0]), np.array([0.9, 0.8, 0.8, 0.8, 0.3, 0.1])
    assert pairs.best_threshold(labels, scores) == 0.8


def test_figures_of_clusters_are_those_of_plain_loops() -> None:
    products, truth = np.array([0, 0, 0, 3, 3, 5, 6]), np.array([1, 1, 2, 2, 2, 2, 4])
    asked = np.array([0, 2, 3, 5, 6])
    found = {name: one.above.sum() / one.below.sum() for name, one in clusters.judge(products, truth, asked).items()}
    precision, recall = [], []
    for one in asked:
        same = sum(products[one] == products[other] and truth[one] == truth[other] for other in range(7))
        precision.append(same / (products == products[one]).sum())
        recall.append(same / (truth == truth[one]).sum())
    assert found["B-cubed precision"] == pytest.approx(np.mean(precision))
    assert found["B-cubed recall"] == pytest.approx(np.mean(recall))
    assert found["pairwise F1"] == pytest.approx(2 * 2 / (2 + 2 + 1 + 0 + 0 + 1 + 3 + 3 + 3 + 0))


@pytest.mark.parametrize("name", pairs.SETS)
def test_no_test_pair_stands_in_train_or_validation(name: str) -> None:
    data = Path(os.environ.get("ECCLIP_TEST_DATA", "."))
    if not (data / name.split()[0] / "pairs.parquet").is_file():
        pytest.skip(f"ECCLIP_TEST_DATA does not hold {name}")
    found = pairs.load_pair_set(data, name)
    unordered = np.sort(np.stack([found.left, found.right]), axis=0)
    test = {tuple(unordered[:, place]) for place in found.within(pairs.TEST)}
    others = {tuple(pair) for pair in unordered[:, found.split != pairs.TEST].T}
    assert len(test) > 200
    assert not test & others
    assert all((found.labels == 1) <= (found.products[found.left] == found.products[found.right]))
