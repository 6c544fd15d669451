"""What a report claims, counted once more from the parts that will serve: heads, and embeddings of test listings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ecclip.core import ContractError
from ecclip.formats.bundle import Bundle
from ecclip.formats.report import FROZEN_START, Comparison, TaskReport
from ecclip.tasks.heads.matrix import Heads
from ecclip.tasks.kinds import TASKS
from ecclip.tasks.report.recount import Measured

# means over listings, which a sample of listings estimates
_SHARES = ("top1", "top5", "accuracy", "zero_shot_accuracy", "auto_coverage")
_FLIPS = 1.5  # answers that other processors may round the other way; by judgment
_OTHER_LIMIT = 0.02  # largest difference of a metric that is not a plain mean; by judgment


def check_claims(folder: Path, measured: Measured | None = None) -> int:
    """Compare report.json with what the heads beside it answer to the test listings kept; return the metrics compared.

    ``measured`` is what they answer, where that is known.

    All metrics of ``TASKS`` are counted again, but for the calibration error as fitted, which the heads no longer
    know. Where only a sample of the test listings was kept, shares alone are, within four standard errors. Matching and
    clustering hang on all listings and are not.

    Raises:
        ContractError: the report claims what the heads do not do; names metric, claim and value. Or it has a schema
            that this code does not know.
        IntegrityError: a part is missing or cannot be read.
    """
    counted, report = measured or Measured(folder), Bundle(folder).report()
    found, whole = counted.findings, int(counted.evidence["test_listings"]) == len(counted.listing_ids)
    claims = {name: claim for name, claim in report.metrics.items() if _is_counted(name, counted.heads, whole)}
    for name, claim in sorted(claims.items()):
        _check(name, claim, found.metrics.get(name), found.rows.get(f"{name.rpartition('/')[0]}/test", 0), whole)
    _check_comparisons(report, counted.beside_frozen, whole)
    return len(claims)


def _check_comparisons(report: TaskReport, found: Mapping[str, Comparison], whole: bool) -> None:
    """Compare what the report says of the frozen start with the answers of it that were kept; none may be left out."""
    tasks = {task.name for task in TASKS}  # matching hangs on all listings and is not counted again
    claims = {cell: one for cell, one in report.compared_with(FROZEN_START).items() if cell.partition("/")[0] in tasks}
    for cell in sorted({*claims, *(name for name in found if ", " not in name)}):
        claim, counted = claims.get(cell), found.get(cell)
        metric = next(one.metric for one in (claim, counted) if one is not None)
        if not whole and metric not in _SHARES:
            continue
        for name in ("ours", "other"):
            values = [None if one is None else float(getattr(one, name)) for one in (claim, counted)]
            rows = 0 if counted is None else counted.rows
            _check(f"{cell}/{metric} ({name} of {FROZEN_START})", values[0], values[1], rows, whole)


def _check(name: str, claim: float | None, value: float | None, rows: int, whole: bool) -> None:
    limit = _limit(name.partition(" ")[0], rows, value, whole)
    if claim is None or value is None or not abs(claim - value) <= limit:
        raise ContractError(
            f"the report claims what its heads do not do: {name} = {claim}",
            value="nothing to count it from" if value is None else value,
            limit=f"{limit:.4f} apart",
            next_step="run evaluate again, then export",
        )


def _is_counted(name: str, heads: Heads, whole: bool) -> bool:
    task, _, metric = name.rsplit("/", 2) if name.count("/") >= 2 else ("", "", "")
    known = {head.name for head in heads.parts} | {task.name for task in TASKS}
    return task in known and metric != "ece_before" and (whole or metric in _SHARES)


def _limit(name: str, rows: int, value: float | None, whole: bool) -> float:
    metric = name.rpartition("/")[2]
    is_mean = metric in (*_SHARES, "present_accuracy", "auto_precision", "recall_at_precision") or metric.startswith(
        "level"
    )
    flips = _FLIPS / max(rows, 1)
    if whole:
        return flips if is_mean else max(_OTHER_LIMIT, flips)
    share = min(max(value or 0.0, 0.0), 1.0)
    return flips + 4 * math.sqrt((share * (1 - share) + 1 / max(rows, 1)) / max(rows, 1))
