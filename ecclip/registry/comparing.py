"""A challenger beside those it is held against: what answers, the champions before it, and the frozen start.

All answer tonight's test listings, so that a difference is one of models and not of nights; where their labels differ,
in the classes that both know. A champion that this version of ecclip cannot ask is compared by what its own bundle
claims, as far as its labels are the challenger's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

from ecclip.core import EcclipError, get_logger
from ecclip.formats.report import Comparison, Rescored, SharedLabels
from ecclip.registry.bundles import kept_metrics, stored_bundle
from ecclip.registry.label_changes import NO_CHANGE, LabelChange, label_change
from ecclip.registry.versions import ModelRef, all_versions

Score = Callable[[Path, Path | None], Rescored]
_CONFIDENCE = 0.95  # that no comparison of a verdict refuses by chance, over all of them
_ON_FLAGGED = ("average_precision", "recall", "recall_at_precision")  # rest on the listings that carry the flag


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One that a challenger is held against, on the same listings.

    Attributes:
        name: as a reason names it.
        metrics: its metrics as they are compared.
        ours: the challenger's.
        claims: what its own bundle claims, by its own labels.
        cells: comparisons by cell and part of the catalog.
        labels: heads whose labels differ, and what they were compared on.
        rows: test listings that metrics of these heads were compared on.
        differs: in which labels it differs from the challenger.
        change: in which it differs from whoever came next: the champion after it, or the challenger.
        note: why its own claims had to do; empty where both were asked.
    """

    name: str
    metrics: Mapping[str, float]
    ours: Mapping[str, float]
    claims: Mapping[str, float] = field(default_factory=dict)
    cells: Mapping[str, Comparison] = field(default_factory=dict)
    labels: Mapping[str, SharedLabels] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    differs: LabelChange = NO_CHANGE
    change: LabelChange = NO_CHANGE
    note: str = ""

    def why_nothing(self, metric: str) -> str:
        """Return why there is nothing of it to compare a metric with."""
        if not self.differs.touches(metric):
            return f"{self.name} has no such metric to compare with"
        if not self.rows:
            return f"its labels are not those of {self.name}, which cannot be asked about tonight's listings"
        count = rows_of(metric, self.rows) or 0
        return f"its labels are not those of {self.name}, and {count} test listings have a class that both know"

    def on_common_labels(self, metric: str) -> dict[str, Any] | None:
        """Return both figures of a metric by common labels, and what they rest on; None where the labels are equal."""
        if not self.differs.touches(metric) or metric not in self.metrics:
            return None
        known = {"challenger": finite(self.ours.get(metric)), "champion": finite(self.metrics[metric])}
        return {**known, "rows": rows_of(metric, self.rows)}


def champion_rivals(
    challenger: ModelRef,
    claims: Mapping[str, float],
    answers: ModelRef | None,
    count: int,
    min_rows: int,
    score: Score | None,
) -> list[Rival]:
    """Return the last ``count`` champions as rivals of a challenger that ``claims`` its metrics, what answers first.

    A metric by other labels that rests on fewer than ``min_rows`` listings is none to compare with.

    Raises:
        IntegrityError: the bundle that answers is not in the store, or not what its digest says. One of an earlier
            champion is left out.
    """
    if answers is None:
        return []
    champion = _Asking(challenger, claims, min_rows, score)
    rivals, newer = [champion.rival("the champion", answers, stored_bundle(challenger))], stored_bundle(answers)
    for one in last_champions(challenger, answers)[: count - 1]:
        try:
            rivals.append(champion.rival(f"version {one.version}, an earlier champion", one, newer))
            newer = stored_bundle(one)
        except EcclipError as error:
            get_logger().warning("an earlier champion is left out", version=one.version, reason=str(error))
    return rivals


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


def held_against(measured: str, champions: Sequence[Rival], accepted: Mapping[str, Sequence[str]]) -> Sequence[Rival]:
    """Return the champions that a metric or cell is compared with: those since a change of labels that is accepted."""
    for place, rival in enumerate(champions):
        if rival.change.is_accepted(measured, accepted):
            return champions[:place]
    return champions


@dataclass(frozen=True)
class _Asking:
    """A challenger, what it claims, and how it is compared with a champion."""

    challenger: ModelRef
    claims: Mapping[str, float]
    min_rows: int
    score: Score | None

    def rival(self, name: str, champion: ModelRef, newer: Path) -> Rival:
        """Return a champion as a rival; ``newer`` is the bundle that came next."""
        theirs, bundle = kept_metrics(champion, proven=False), stored_bundle(champion)
        differs = label_change(bundle, stored_bundle(self.challenger))
        # by other labels its claims are of another question
        claims = {metric: value for metric, value in theirs.items() if not differs.touches(metric)}
        claimed = Rival(
            name=name,
            metrics=claims,
            ours=self.claims,
            claims=theirs,
            differs=differs,
            change=label_change(bundle, newer),
        )
        if self.score is None:
            return claimed
        try:
            asked = self.score(stored_bundle(self.challenger), bundle)
        except EcclipError as error:
            get_logger().warning("a champion cannot be asked about tonight's test listings", reason=str(error))
            return replace(claimed, note=f"{name} is compared by its own claims: {error}")
        return replace(
            claimed,
            metrics=claims | self._enough(asked),  # what test listings alone do not tell, such as matching, is a claim
            ours={**self.claims, **asked.ours},
            cells=asked.cells,
            labels=asked.labels,
            rows=asked.rows,
        )

    def _enough(self, asked: Rescored) -> dict[str, float]:
        """Return the metrics of the other, but for those that too few listings with a common label stand for."""
        counts = {metric: rows_of(metric, asked.rows) for metric in asked.theirs}
        few = {metric for metric, count in counts.items() if count is not None and count < self.min_rows}
        return {metric: value for metric, value in asked.theirs.items() if metric not in few}


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


def label_notes(champions: Sequence[Rival]) -> list[str]:
    """Return in words how labels differ from those of what answers, and what both were compared on."""
    return [
        f"{head}: {one.gained} labels are new and {one.lost} gone since {rival.name}; compared on "
        f"{sum(one.levels.values())} test listings in classes that both know ({_levels(one) or 'none'}), "
        f"{one.left_out} have none"
        for rival in champions[:1]
        for head, one in sorted(rival.labels.items())
    ]


def _levels(one: SharedLabels) -> str:
    return ", ".join(f"level {level}: {count}" for level, count in one.levels.items())


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
