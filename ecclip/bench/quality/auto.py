"""`auto` on the public sets, by the heads and thresholds that would serve: coverage, precision, and broken promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecclip.bench.quality.data import Product
from ecclip.bench.quality.evaluated import outputs_of, rows_of, target_of
from ecclip.bench.result import Result, Row
from ecclip.formats.sampling import sets_thresholds
from ecclip.model import Towers
from ecclip.tasks import EvaluateConfig, measure_auto
from ecclip.tasks.guarantee import AutoCell, auto_promises_broken
from ecclip.tasks.kinds.task import OUTSIDE
from ecclip.tasks.rows import THRESHOLDS


def enter_auto(
    result: Result,
    folder: Path,
    system: str,
    towers: Towers,
    products: Sequence[Product],
    asked: Sequence[tuple[str, str]],
) -> None:
    """Enter coverage and precision of `auto` for each label that is ``asked`` of a set, and the headline of all.

    ``folder`` keeps what the towers give out.

    Headline: ``auto_promises_broken``, the cells whose test listings refute the promise (Holm), and
    ``auto_coverage_category``, the coverage of myntra's category by photo and title.
    """
    cells: dict[str, AutoCell] = {}
    size, dim = towers.photo_size, towers.cfg.embedding_dim
    outputs = outputs_of(folder, towers, products, [size])
    for source in dict.fromkeys(source for source, _ in asked):
        chosen = [row for row, one in enumerate(products) if one.source == source]
        own = [products[row] for row in chosen]
        targets = [target_of(own, label, OUTSIDE) for of, label in asked if of == source]
        rows = rows_of(own, {key: values[chosen] for key, values in outputs.items()}, size, dim, [*map(_split, own)])
        found = measure_auto(rows, targets, EvaluateConfig())
        cells |= {f"{source}, {name.replace('/', ', ')}": cell for name, cell in found.items()}
    for name, cell in sorted(cells.items()):
        result.rows.append(_row(f"auto: coverage, {name}", system, cell.coverage, cell.answers))
        if cell.auto:
            result.rows.append(_row(f"auto: precision, {name}", system, cell.precision, cell.auto))
    result.head(
        auto_promises_broken=len(auto_promises_broken(cells)),
        auto_coverage_category=cells["myntra_fashion, category, both"].coverage,
    )


def _row(what: str, system: str, value: float, count: int) -> Row:
    share = round(value, 4)
    return Row(what, system, share, "share", share, share, count)


def _split(one: Product) -> str:
    return THRESHOLDS if one.split == "validation" and sets_thresholds(one.group) else one.split
