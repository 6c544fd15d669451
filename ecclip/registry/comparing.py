"""A challenger beside those it is held against: what answers, the champions before it, and the frozen start.

All answer tonight's test listings, so that a difference is one of models and not of nights. A champion that this
version of ecclip cannot ask is compared by what its own bundle claims.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ecclip.core import EcclipError, get_logger
from ecclip.formats.report import Comparison, Rescored
from ecclip.registry.bundles import kept_metrics, stored_bundle
from ecclip.registry.versions import ModelRef, all_versions

Score = Callable[[Path, Path | None], Rescored]
_CONFIDENCE = 0.95  # that no comparison of a verdict refuses by chance, over all of them
_ON_FLAGGED = ("average_precision", "recall", "recall_at_precision")  # rest on the listings that carry the flag


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One that a challenger is held against, on the same listings.

    Attributes:
        name: as a reason names it.
        metrics: its metrics.
        ours: the challenger's.
        cells: comparisons by cell and part of the catalog.
        note: why its own claims had to do; empty where both were asked.
    """

    name: str
    metrics: Mapping[str, float]
    ours: Mapping[str, float]
    cells: Mapping[str, Comparison] = field(default_factory=dict)
    note: str = ""


def champion_rivals(
    challenger: ModelRef, claims: Mapping[str, float], answers: ModelRef | None, count: int, score: Score | None
) -> list[Rival]:
    """Return the last ``count`` champions as rivals of a challenger that ``claims`` its metrics, what answers first.

    Raises:
        IntegrityError: the bundle that answers is not in the store, or not what its digest says. One of an earlier
            champion is left out.
    """
    if answers is None:
        return []
    first = [_rival("the champion", challenger, claims, answers, score)]
    return first + [
        rival
        for one in last_champions(challenger, answers)[: count - 1]
        if (rival := _if_there(challenger, claims, one, score)) is not None
    ]


def last_champions(challenger: ModelRef, answers: ModelRef) -> list[ModelRef]:
    """Return the versions that were champion before what answers, the last one first; none that was rolled back."""
    found = [
        one
        for one in all_versions()
        if "champion_at" in one.tags
        and "rolled_back" not in one.tags
        and one.digest not in (challenger.digest, answers.digest)
    ]
    return sorted(found, key=lambda one: (one.tags["champion_at"], int(one.version)), reverse=True)


def _if_there(
    challenger: ModelRef, claims: Mapping[str, float], champion: ModelRef, score: Score | None
) -> Rival | None:
    try:
        return _rival(f"version {champion.version}, an earlier champion", challenger, claims, champion, score)
    except EcclipError as error:
        get_logger().warning("an earlier champion is left out", version=champion.version, reason=str(error))
        return None


def _rival(
    name: str, challenger: ModelRef, claims: Mapping[str, float], champion: ModelRef, score: Score | None
) -> Rival:
    theirs = kept_metrics(champion, proven=False)
    if score is None:
        return Rival(name=name, metrics=theirs, ours=claims)
    try:
        asked = score(stored_bundle(challenger), stored_bundle(champion))
    except EcclipError as error:
        note = f"{name} is compared by its own claims: {error}"
        get_logger().warning("a champion cannot be asked about tonight's test listings", reason=str(error))
        return Rival(name=name, metrics=theirs, ours=claims, note=note)
    # what cannot be counted from test listings alone, such as matching, stays a claim
    return Rival(name=name, metrics={**theirs, **asked.theirs}, ours={**claims, **asked.ours}, cells=asked.cells)


def frozen_rival(challenger: ModelRef, score: Score | None) -> Rival | None:
    """Return the frozen start as a rival, or None where the challenger's bundle keeps nothing of it."""
    if score is None:
        return None
    asked = score(stored_bundle(challenger), None)
    return Rival(name="the frozen start", metrics={}, ours=asked.ours, cells=asked.cells) if asked.cells else None


def rows_of(metric: str, rows: Mapping[str, Any]) -> int | None:
    """Return how many test listings a metric of a report rests on, by the report's ``rows``; None: it does not say."""
    prefix, _, name = metric.rpartition("/")
    kinds = [*(["test_positives"] if name in _ON_FLAGGED else []), "test", "queries"]
    return next((int(rows[f"{prefix}/{kind}"]) for kind in kinds if f"{prefix}/{kind}" in rows), None)


def cell_rows(rivals: Iterable[tuple[Rival, float]], min_rows: int) -> list[dict[str, Any]]:
    """Return the comparisons with rivals, each with the drop that is allowed beside it, and the reason of a refusal.

    A comparison refuses where the difference is below the allowed drop beyond its error, at a confidence that holds for
    all of them together (Bonferroni). One that rests on fewer than ``min_rows`` listings is left out.
    """
    asked = [
        (rival.name, cell, one, drop)
        for rival, drop in rivals
        for cell, one in sorted(rival.cells.items())
        if one.rows >= min_rows
    ]
    width = NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / max(len(asked), 1))
    return [_cell_row(name, cell, one, drop, width) for name, cell, one, drop in asked]


def _cell_row(name: str, cell: str, one: Comparison, drop: float, width: float) -> dict[str, Any]:
    most = one.difference + width * one.error
    reason = (
        f"{one.ours:.4f} ({one.metric}) against {one.other:.4f} of {name}, {one.rows} listings: worse by "
        f"{-most:.4f} at least, {drop:.4f} allowed"
        if most < -drop
        else ""
    )
    told = ("metric", "rows", "ours", "other", "difference", "low", "high")
    return {"cell": cell, "against": name, **{key: getattr(one, key) for key in told}, "reason": reason}


def finite(value: float | None) -> float | None:
    """Return a number, None for what is none."""
    return value if value is not None and math.isfinite(value) else None


def largest_drop(metric: str, sign: float, rivals: Sequence[Rival]) -> tuple[Rival, float] | None:
    """Return the rival that a challenger falls behind the most by a metric, and by how much; of equals what answers.

    ``sign`` is -1 where less is better.
    """
    drops = [
        (rival, sign * (before - now))
        for rival in rivals
        if (before := finite(rival.metrics.get(metric))) is not None
        and (now := finite(rival.ours.get(metric))) is not None
    ]
    return max(drops, key=lambda entry: entry[1], default=None)
