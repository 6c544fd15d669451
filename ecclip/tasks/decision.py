"""From a row of logits to an answer: the one definition, used by the report and by the server.

Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecclip.tasks.attributes.applicable import Applicable, Asked
from ecclip.tasks.attributes.given import GivenOptions
from ecclip.tasks.attributes.opened import OpenValue, OpenValues
from ecclip.tasks.kinds.task import HeadScores, Query, Task
from ecclip.tasks.names import CategoryNames
from ecclip.tasks.scores import (
    AUTO,
    EVEN_CHANCE,
    NEVER_AUTO,
    REVIEW,
    UNKNOWN,
    all_probabilities,
    answered,
    best,
    confidence,
    plain,
)
from ecclip.tasks.unseen.suggested import Unseen

_CATEGORY = "category"  # the task that says which attributes there are
_ATTRIBUTES, _ATTRIBUTE = "attributes", "attribute:"  # the task, and what the names of its heads begin with


class DecisionError(ValueError):
    """The logits or the modality do not fit the heads, or a head has no task."""


@dataclass(frozen=True)
class _Bar:
    """What a head's answers are held to in one modality: thresholds of `auto`, of all classes and of some with one of
    their own, those of the levels that a path backs off to, and the operating point of a flag.
    """

    pooled: float
    classes: Mapping[str, float]
    levels: Mapping[int, float]
    point: float
    is_unlabelled: bool
    is_zero_shot: bool


@dataclass(frozen=True)
class _Part:
    """A head, where its scores stand among those of all, what its task keeps of it, and its bars by modality."""

    name: str
    loss: str
    labels: Sequence[Any]
    columns: slice
    kept: Any
    minimum_age: int | None
    bars: Mapping[str, _Bar]


class Decider:
    """Turns rows of logits into answers by the heads and thresholds of a ``heads.json`` dict and the tasks' code."""

    def __init__(self, heads: Mapping[str, Any], tasks: Sequence[Task], top_k: int = 5) -> None:
        if top_k < 1:
            raise DecisionError(f"top_k must be at least 1, not {top_k}")
        self._tasks, self._top_k = list(tasks), top_k
        unknown = {str(head["task"]) for head in heads["heads"]} - {task.name for task in self._tasks}
        if unknown:
            raise DecisionError(f"heads of tasks without code: {sorted(unknown)}")
        self._modalities = list(heads["modalities"])
        self._unseen = Unseen(heads.get("unseen") or {}, CategoryNames(heads.get("taxonomy") or {}))
        self._lay_out(heads["heads"])
        self._parts = {task.name: list(self._parts_of(task, heads)) for task in self._tasks}
        self._applicable = Applicable(heads.get("applies", ()))
        self._given = GivenOptions(heads.get("options") or {})
        self._open_values = OpenValues(heads["open"]) if heads.get("open") else None

    def _lay_out(self, heads: Sequence[Mapping[str, Any]]) -> None:
        """Remember which columns of the logits are whose: all scores are computed at once, side by side."""
        sizes = [int(head["stop"]) - int(head["start"]) for head in heads]
        self.columns = max([int(head["stop"]) for head in heads] + [self._unseen.stop])
        spans = [np.arange(int(head["start"]), int(head["stop"])) for head in heads]
        self._read_columns = np.concatenate(spans) if spans else np.zeros(0, np.int64)
        self._starts = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0, np.int64)
        self._is_flag = np.repeat([head["loss"] == "sigmoid" for head in heads], sizes)

    def _parts_of(self, task: Task, heads: Mapping[str, Any]) -> Iterator[_Part]:
        ages = heads.get("policy", {}).get("minimum_ages", {})
        for place, head in enumerate(heads["heads"]):
            if head["task"] != task.name:
                continue
            name, loss, begin = str(head["name"]), str(head["loss"]), int(self._starts[place])
            yield _Part(
                name,
                loss,
                head["labels"],
                slice(begin, begin + int(head["stop"]) - int(head["start"])),
                task.prepare(head, heads),
                ages.get(str(head["labels"][0])) if loss == "sigmoid" else None,
                {modality: _bar(heads, name, modality) for modality in self._modalities},
            )

    def answer(self, logits: np.ndarray, modality: str, query: Query | None = None) -> dict[str, Any]:
        """Return the answer to one listing as the service's outputs by name (``ecclip.formats.service``).

        ``logits`` [columns] come from the heads of ``modality``; ``query`` holds the texts of the request. The output
        DECISION maps every head, or a task without any, to auto, review or unknown. Attributes that do not apply to the
        category are not asked for and have no place in either. A zero-shot head is never auto: which option it takes,
        or what it flags, is for review, the rest unknown. Categories without examples are suggested beside the answer,
        and change nothing of it.

        Raises:
            DecisionError: the wrong number of logits, a logit that is not finite, or an unknown modality.
        """
        row = self._row(logits, modality)
        scores = all_probabilities(row[self._read_columns], self._starts, self._is_flag) if len(self._starts) else row
        outputs: dict[str, Any] = {}
        decisions: dict[str, str] = {}
        given = query or Query()
        for task in self._tasks:
            parts = self._parts[task.name]
            asked = self._asked(scores, modality) if task.name == _ATTRIBUTES else None
            scored = [
                _scored(part, scores[part.columns], part.bars[modality])
                for part in parts
                if asked is None or part.name.removeprefix(_ATTRIBUTE) in asked
            ]
            read = {} if asked is None else self._read(given, asked)
            told = replace(given, open_values={name: one.output() for name, one in read.items()}) if read else given
            _merge(outputs, task.answer(scored, told, self._top_k))
            decisions |= {one.name: _decision(task, one) for one in scored}
            decisions |= {f"{_ATTRIBUTE}{name}": one.decision for name, one in read.items()}
            decisions |= {} if parts or read else {task.name: UNKNOWN}
        for task in self._tasks:
            kept = [part.kept for part in self._parts[task.name]]
            outputs |= task.in_language(outputs, kept, given.language)
        suggested = self._unseen.suggest(row, modality, given.language, self._top_k)
        return outputs | {"CATEGORY_SUGGESTED": suggested, "DECISION": decisions}

    def _row(self, logits: np.ndarray, modality: str) -> np.ndarray:
        """Return the logits of a modality, checked."""
        row = np.asarray(logits, dtype=np.float64)
        if modality not in self._modalities:
            raise DecisionError(f"unknown modality {modality!r}; one of {self._modalities}")
        if row.shape != (self.columns,) or not np.isfinite(row).all():
            raise DecisionError(f"expected {self.columns} finite logits, got shape {row.shape}")
        return row

    def _asked(self, scores: np.ndarray, modality: str) -> Asked:
        """Return the attributes that apply to the likeliest categories, whether or not the answer backs off."""
        paths: list[Sequence[str]] = []
        likely: list[float] = []
        for part in self._parts.get(_CATEGORY, ()):
            if not part.bars[modality].is_unlabelled:
                own = scores[part.columns]
                places = best(own, self._top_k)
                paths, likely = [part.labels[place] for place in places], [plain(own[place]) for place in places]
        applies = self._given.asked(paths, likely)
        return Asked(self._applicable.asked(paths, likely), {name: name in applies for name in self._given.attributes})

    def _read(self, query: Query, asked: Asked) -> dict[str, OpenValue]:
        if self._open_values is None:
            return {}
        return self._open_values.answer(query.title, query.description, names=asked)


def _bar(heads: Mapping[str, Any], name: str, modality: str) -> _Bar:
    def of(what: str) -> dict[str, Any]:
        return dict(heads.get(what, {}).get(name, {}).get(modality, {}))

    return _Bar(
        pooled=float(heads["thresholds"].get(name, {}).get(modality, NEVER_AUTO)),
        classes=of("class_thresholds"),
        levels={int(level): score for level, score in of("level_thresholds").items()},
        point=float(of("points").get("score", EVEN_CHANCE)),
        is_unlabelled=modality in heads.get("unlabelled", {}).get(name, ()),
        is_zero_shot=modality in heads.get("zero_shot", {}).get(name, ()),
    )


def _scored(part: _Part, scores: np.ndarray, bar: _Bar) -> HeadScores:
    if bar.is_unlabelled:
        return HeadScores(part.name, part.loss, part.labels, None)
    own = bar.classes.get(str(int(answered(scores, part.loss))), bar.pooled) if bar.classes else bar.pooled
    return HeadScores(
        part.name,
        part.loss,
        part.labels,
        scores,
        bool(confidence(scores, part.loss) >= max(float(own), EVEN_CHANCE)),
        bar.levels,
        part.kept,
        point=bar.point,
        zero_shot=bar.is_zero_shot,
        minimum_age=part.minimum_age,
    )


def _decision(task: Task, scored: HeadScores) -> str:
    if scored.scores is None or (scored.zero_shot and scored.loss == "sigmoid" and not scored.flagged):
        return UNKNOWN
    if scored.zero_shot:
        return REVIEW
    return AUTO if task.is_auto(scored) else REVIEW


def _merge(outputs: dict[str, Any], answer: Mapping[str, Any]) -> None:
    """Add one task's outputs; an output that several tasks fill is a dict with a key per task."""
    for name, value in answer.items():
        outputs[name] = outputs.get(name, {}) | value if isinstance(value, dict) else value
