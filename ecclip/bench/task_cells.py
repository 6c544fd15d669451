"""Five tasks beside what people use today: the cells, the figures of the headline, and published figures beside them.

``python -m ecclip.bench.task_cells --data FOLDER --out results/tasks.json`` measures cell by cell; a run that was
interrupted goes on with the cells that are missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ecclip.bench.machine import new_result
from ecclip.bench.result import CellRow, Result, write_result
from ecclip.bench.tasks.cells import CHEAP, FROZEN, OURS, Cell, enter_cells, measure_cells
from ecclip.core import configure_logging

PAIR_SETS = ("abt_buy", "amazon_google", "wdc_products", "wdc_products seen", "wdc_products second")
_SYSTEMS = (CHEAP, FROZEN, OURS)
CELLS = [
    *(
        Cell(name, "matching", "text", system, "ecclip.bench.tasks.pairs:measure_matching")
        for name in PAIR_SETS
        for system in _SYSTEMS
    ),
    *(
        Cell("wdc_products", "clustering", "text", system, "ecclip.bench.tasks.clusters:measure_clustering")
        for system in _SYSTEMS
    ),
    *(
        Cell("sample", "clustering", "both", system, "ecclip.bench.tasks.sample_products:measure_products")
        for system in _SYSTEMS
    ),
    *(
        Cell("wdc_block_small", "blocking", "text", system, "ecclip.bench.tasks.blocking:measure_blocking")
        for system in _SYSTEMS
    ),
]
# name: set, task, modality, metric; of ours
HEADLINE = {
    "abt_buy_f1": ("abt_buy", "matching", "text", "F1"),
    "amazon_google_f1": ("amazon_google", "matching", "text", "F1"),
    "wdc_half_seen_f1": ("wdc_products", "matching", "text", "F1"),
    "sample_product_f1": ("sample", "clustering", "both", "pairwise F1"),
    "blocking_recall": ("wdc_block_small", "blocking", "text", "recall at 14"),
}
# cited, never measured here: what a paper or its page says of a system on the same test part
PUBLISHED = {
    ("abt_buy", "matching", "text", "F1"): ("R-SupCon, full train (cited)", 0.943, 1916),
    ("amazon_google", "matching", "text", "F1"): ("R-SupCon, full train (cited)", 0.793, 2293),
    ("wdc_products", "matching", "text", "F1"): ("best of three published systems (cited)", 0.755, 4500),
    ("wdc_block_small", "blocking", "text", "recall at 14"): ("SC-Block, its page (cited)", 0.935, 500),
}


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
        cited = {"system": system, "value": value, "low": value, "high": value, "n": count, "commit": "cited"}
        result.rows.append(CellRow(**{**vars(ours), **cited}))
    result.rows.sort(key=lambda row: (row.what, row.system))


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the public sets, see docs/benchmarks.md")
    parser.add_argument("--work", type=Path, default=Path("work/bench/tasks"), help="cells that are measured")
    parser.add_argument("--out", type=Path, default=Path("results/tasks.json"), help="file of results")
    parser.add_argument("--only", nargs="*", default=[], help="sets or tasks; default: all")
    chosen = parser.parse_args()
    configure_logging()
    cells = [one for one in CELLS if not chosen.only or {one.dataset, one.task} & {*chosen.only}]
    result = new_result("ecclip bench tasks --data DATA")
    enter_cells(result, measure_cells(cells, chosen.data, chosen.work))
    enter_headline(result)
    write_result(result, chosen.out)


if __name__ == "__main__":
    main()
