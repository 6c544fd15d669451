"""Five tasks beside what people use today: the cells, the figures of the headline, and published figures beside them.

``python -m ecclip.bench.task_cells --data FOLDER --out results/tasks.json`` measures cell by cell; a run that was
interrupted goes on with the cells that are missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ecclip.bench.machine import new_result
from ecclip.bench.result import CITED, OURS, CellRow, Result, Row, read_result, write_result
from ecclip.bench.tasks import attributes, blocking, clusters, pairs, sample_products
from ecclip.bench.tasks.cells import enter_cells, enter_outcomes, measure_cells
from ecclip.bench.tasks.photos import labels, products, restriction, shift
from ecclip.core import configure_logging

# a task adds its cells here with one line
PARTS = (
    pairs.PART,
    clusters.PART,
    sample_products.PART,
    blocking.PART,
    labels.PART,
    products.PART,
    shift.PART,
    attributes.PART,
    restriction.PART,
)
CELLS = [cell for part in PARTS for cell in part.cells]
HEADLINE = {name: place for part in PARTS for name, place in part.headline.items()}
PUBLISHED = {place: cited for part in PARTS for place, cited in part.published.items()}


def kept_rows(before: Result, now: Result) -> list[Row]:
    """Return the measured rows of an earlier run whose cells this run has not measured; each names its commit."""
    measured = {(row.dataset, row.task, row.modality) for row in now.rows if isinstance(row, CellRow)}
    return [
        row
        for row in before.rows
        if isinstance(row, CellRow) and (row.dataset, row.task, row.modality) not in measured and row.commit != CITED
    ]


def enter_headline(result: Result) -> None:
    """Enter the headline, as far as its cells are measured, and the published figures of those cells."""
    found = {
        (row.dataset, row.task, row.modality, row.metric): row
        for row in result.rows
        if isinstance(row, CellRow) and row.system == OURS
    }
    result.head(**{name: found[place].value for name, place in HEADLINE.items() if place in found})
    for place in found.keys() & PUBLISHED.keys():
        system, value, count = PUBLISHED[place]
        ours = found[place]
        cited = {"system": system, "value": value, "low": value, "high": value, "n": count, "commit": CITED}
        result.rows.append(CellRow(**{**vars(ours), **cited}))
    result.rows.sort(key=lambda row: (row.what, row.system))


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public sets, see docs/benchmarks.md")
    parser.add_argument("--work", type=Path, default=Path("work/bench/tasks"), help="cells that are measured")
    parser.add_argument("--out", type=Path, default=Path("results/tasks.json"), help="file of results")
    parser.add_argument(
        "--only", nargs="*", default=[], help="sets or tasks; other rows stay as they are. Default: all"
    )
    chosen = parser.parse_args()
    configure_logging()
    cells = [one for one in CELLS if not chosen.only or {one.dataset, one.task} & {*chosen.only}]
    result = new_result("ecclip bench tasks --data DATA")
    enter_cells(result, measure_cells(cells, chosen.data, chosen.work))
    if chosen.only and chosen.out.is_file():
        result.rows += kept_rows(read_result(chosen.out), result)
    enter_outcomes(result)
    enter_headline(result)
    write_result(result, chosen.out)


if __name__ == "__main__":
    main()
