"""Two systems that answer the same test listings: the difference in every cell, with its interval.

A cell is a task from one modality, measured by the first metric of the task's headline. Both systems answer the same
listings and are resampled together, by whole groups, so that what is easy or hard for both drops out of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecclip.formats.report import Comparison
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.kinds import Task
from ecclip.tasks.report.classes import ScoredHead
from ecclip.tasks.report.metrics import Bootstrap, average_precision, interval


@dataclass(frozen=True)
class _Pair:
    """Answers of two heads of one name to the same listings; ``counted`` [M] are those that the metric counts."""

    ours: ScoredHead
    other: ScoredHead
    groups: np.ndarray
    counted: np.ndarray

    @property
    def is_flag(self) -> bool:
        return self.ours.target.loss == "sigmoid"


@dataclass(frozen=True)
class _Values:
    """Rows that a metric rests on, its value for both systems, and its difference in every resampling [R]."""

    rows: int
    ours: float
    other: float
    differences: np.ndarray


def compare_cells(
    tasks: Sequence[Task],
    ours: Mapping[str, ScoredHead],
    other: Mapping[str, ScoredHead],
    groups: np.ndarray,
    cfg: EvaluateConfig,
    parts: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Comparison]:
    """Return the comparison of every cell in which both systems have answers.

    Args:
        tasks: the tasks.
        ours: answers by ``<head>/<modality>``.
        other: answers of the other system; a head that only one has is left out.
        groups: group number of every listing [N].
        cfg: rounds and seed of the bootstrap.
        parts: parts of the catalog, bool [N] by name, that are compared as well, as ``<cell>, <part>``.
    """
    whole = {"": np.ones(len(groups), dtype=bool)}
    named = whole | {f", {name}": members for name, members in (parts or {}).items()}
    found: dict[str, Comparison] = {}
    for task in tasks:
        for modality in MODALITIES:
            pairs = _pairs(task, modality, ours, other, groups)
            compared = _compare(task.headline[0][1], pairs, named, cfg)
            found |= {f"{task.name}/{modality}{name}": one for name, one in compared.items()}
    return found


def _pairs(
    task: Task, modality: str, ours: Mapping[str, ScoredHead], other: Mapping[str, ScoredHead], groups: np.ndarray
) -> list[_Pair]:
    pairs = []
    for name, one in ours.items():
        if one.target.task == task.name and one.modality == modality and name in other:
            common, left, right = np.intersect1d(one.rows, other[name].rows, return_indices=True)
            mine = one.part(left)
            pairs.append(_Pair(mine, other[name].part(right), groups[common], task.counted(mine).astype(np.float64)))
    return [pair for pair in pairs if pair.counted.any()]


def _compare(
    metric: str, pairs: list[_Pair], parts: Mapping[str, np.ndarray], cfg: EvaluateConfig
) -> dict[str, Comparison]:
    """Return the comparison of each part of the catalog in which an answer counts."""
    flags = [pair for pair in pairs if pair.is_flag]
    if not pairs:
        return {}
    asked = flags or pairs
    resample = Bootstrap(np.concatenate([pair.groups for pair in asked]), cfg.bootstrap_rounds, cfg.seed)
    measure = _flag_values if flags else _share_values
    values = {
        name: measure(asked, np.concatenate([pair.counted * members[pair.ours.rows] for pair in asked]), resample)
        for name, members in parts.items()
    }
    compared = {
        name: None if one is None else comparison(metric, one.rows, one.ours, one.other, one.differences)
        for name, one in values.items()
    }
    return {name: one for name, one in compared.items() if one is not None}


def _share_values(pairs: list[_Pair], counted: np.ndarray, resample: Bootstrap) -> _Values | None:
    """Return shares of right answers; the answers of several heads count as one each."""
    total = float(counted.sum())
    if not total:
        return None
    ours = np.concatenate([pair.ours.answer == pair.ours.truth for pair in pairs]) * counted
    other = np.concatenate([pair.other.answer == pair.other.truth for pair in pairs]) * counted
    differences = resample.ratios(ours - other, counted)
    return _Values(int(total), float(ours.sum()) / total, float(other.sum()) / total, differences)


def _flag_values(pairs: list[_Pair], counted: np.ndarray, resample: Bootstrap) -> _Values | None:
    """Return average precisions over the answers of all flags."""
    truth = np.concatenate([pair.ours.truth == 1 for pair in pairs]).astype(np.float64)
    rarer = min(float((truth * counted).sum()), float(((1 - truth) * counted).sum()))
    if not (truth * counted).any():
        return None
    ours = np.concatenate([pair.ours.scores[:, 0] for pair in pairs])
    other = np.concatenate([pair.other.scores[:, 0] for pair in pairs])
    values = [average_precision(truth, scores, counted) for scores in (ours, other)]
    draws = [resample.average_precisions(truth, scores, counted) for scores in (ours, other)]
    return _Values(int(rarer), values[0], values[1], draws[0] - draws[1])


def comparison(metric: str, rows: int, ours: float, other: float, differences: np.ndarray) -> Comparison | None:
    """Return a comparison from its values and resampled ``differences`` [R]; None where none of those is a number."""
    drawn = differences[np.isfinite(differences)]
    if not len(drawn):
        return None
    low, high = interval(drawn)
    return Comparison(
        metric=metric,
        rows=rows,
        ours=round(ours, 6),
        other=round(other, 6),
        difference=round(ours - other, 6),
        error=round(float(drawn.std()), 6),
        low=round(low, 6),
        high=round(high, 6),
    )
