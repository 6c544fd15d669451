"""Two bundles with other labels, asked one question: their answers in the classes that both can give.

A label is a path: a category level by level, any other label a path of one level. A label that only one of two heads
has is lifted to its parent until both have something there. So a category that was refined, merged, renamed or moved is
compared at the deepest level that both know, and a value of an attribute that only one of them knows is no answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecclip.formats.report import SharedLabels
from ecclip.tasks.heads.matrix import Head, Heads
from ecclip.tasks.kinds import task_named
from ecclip.tasks.kinds.task import NO_LABEL
from ecclip.tasks.report.classes import ScoredHead
from ecclip.tasks.rows import Rows

Levels = tuple[Any, ...]
_NONE = -1  # class of a label or listing that the two have nothing in common for


@dataclass(frozen=True)
class CommonClasses:
    """Classes [K] that two heads can both answer, as paths, and the class of each label of either: int [C], -1 none."""

    paths: tuple[Levels, ...]
    ours: np.ndarray
    theirs: np.ndarray

    def class_of(self, path: Sequence[Any]) -> int:
        """Return the class of a path that neither head need know: the deepest one that it lies below, -1 without."""
        cut = [tuple(path[:level]) for level in range(len(path), 0, -1)]
        return next((self.paths.index(one) for one in cut if one in self.paths), _NONE)


def common_classes(ours: Sequence[Any], theirs: Sequence[Any]) -> CommonClasses:
    """Return the classes of two lists of labels; those of equal lists are the labels themselves."""
    lifted = [[_path(label) for label in labels] for labels in (ours, theirs)]
    for level in range(max((len(path) for paths in lifted for path in paths), default=0), 0, -1):
        both = set(lifted[0]) & set(lifted[1])
        lifted = [[path if path in both or len(path) != level else path[:-1] for path in paths] for paths in lifted]
    found = sorted((set(lifted[0]) & set(lifted[1])) - {()}, key=json.dumps)
    number = {path: place for place, path in enumerate(found)}
    classes = [np.array([number.get(path, _NONE) for path in paths], dtype=np.int64) for paths in lifted]
    return CommonClasses(tuple(found), *classes)


@dataclass(frozen=True)
class InCommon:
    """Answers of two bundles, by ``<head>/<modality>``, in classes that both can give; what only one answers is gone.

    ``changed`` are the heads whose labels differ, and how they were compared, ``concerned`` all heads and tasks whose
    metrics rest on other labels or heads than those of the bundles.
    """

    ours: dict[str, ScoredHead]
    theirs: dict[str, ScoredHead]
    changed: dict[str, SharedLabels]
    concerned: frozenset[str]


def in_common(
    heads: Heads, others: Heads, ours: Mapping[str, ScoredHead], theirs: Mapping[str, ScoredHead], rows: Rows
) -> InCommon:
    """Return what two bundles answer to the same ``rows`` in common classes.

    ``ours`` and ``theirs`` are their answers; the truth in ``ours`` decides.
    """
    own, other = ({head.name: head for head in one.parts} for one in (heads, others))
    classes = {
        name: common_classes(own[name].labels, other[name].labels)
        for name in own
        if name in other and own[name].loss == "softmax" and _labels(own[name]) != _labels(other[name])
    }
    truth = {name: _truth(classes[name], own[name], ours, rows) for name in classes}
    both = sorted(set(ours) & set(theirs))
    concerned = {*classes, *(set(own) ^ set(other))}
    tasks = {head.task for found in (own, other) for name, head in found.items() if name in concerned}
    return InCommon(
        {name: _mapped(ours[name], classes, truth, "ours") for name in both},
        {name: _mapped(theirs[name], classes, truth, "theirs") for name in both},
        {name: _told(classes[name], own[name], other[name], truth[name]) for name in classes},
        frozenset(concerned | tasks),
    )


def _path(label: Any) -> Levels:
    return tuple(label) if isinstance(label, list | tuple) else (label,)


def _labels(head: Head) -> set[Levels]:
    return {_path(label) for label in head.labels}


def _truth(classes: CommonClasses, head: Head, ours: Mapping[str, ScoredHead], rows: Rows) -> np.ndarray:
    """Return the class of every listing, int [N]: -1 where the two have none in common, NO_LABEL without a label."""
    task = task_named(head.task)
    found = np.full(len(rows.listing_ids), NO_LABEL)
    for scored in (one for one in ours.values() if one.target.name == head.name):
        for place, (row, number) in enumerate(zip(scored.rows, scored.truth, strict=True)):
            known = number >= 0
            found[row] = classes.ours[number] if known else classes.class_of(task.truth(scored, rows, place))
    return found


def _mapped(
    scored: ScoredHead, classes: Mapping[str, CommonClasses], truth: Mapping[str, np.ndarray], side: str
) -> ScoredHead:
    """Return answers in common classes, each with what its labels have together, to the listings that have one."""
    name = scored.target.name
    if name not in classes:
        return scored
    own: np.ndarray = getattr(classes[name], side)
    part = scored.part(np.flatnonzero(truth[name][scored.rows] >= 0))
    paths = classes[name].paths
    is_path = any(isinstance(label, list | tuple) for label in scored.target.labels)
    return replace(
        part,
        target=replace(part.target, labels=[list(path) if is_path else path[0] for path in paths]),
        scores=_together(part.scores, own, len(paths)),
        scores_before=_together(part.scores_before, own, len(paths)),
        truth=truth[name][part.rows],
        decided=part.decisions,
    )


def _together(scores: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """Return the probabilities [M, K] of classes, given that it is one of them, of those [M, C] of labels."""
    member = (classes[:, None] == np.arange(count)[None, :]).astype(np.float64)
    sums = scores @ member
    result: np.ndarray = sums / np.maximum(sums.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return result


def _told(classes: CommonClasses, ours: Head, theirs: Head, truth: np.ndarray) -> SharedLabels:
    levels = Counter(len(classes.paths[number]) for number in truth[truth >= 0])
    return SharedLabels(
        gained=len(_labels(ours) - _labels(theirs)),
        lost=len(_labels(theirs) - _labels(ours)),
        levels={str(level): count for level, count in sorted(levels.items())},
        left_out=int((truth == _NONE).sum()),
    )
