"""From a row of logits to an answer: the one definition, used by the report and by the server.

Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ecclip.tasks.attributes.applicable import Applicable
from ecclip.tasks.attributes.opened import OpenValue, OpenValues
from ecclip.tasks.kinds.task import HeadScores, Query, Task
from ecclip.tasks.names import CategoryNames
from ecclip.tasks.scores import AUTO, EVEN_CHANCE, NEVER_AUTO, REVIEW, UNKNOWN, answered, confidence, probabilities
from ecclip.tasks.unseen.suggested import Unseen

_ATTRIBUTES, _ATTRIBUTE = "attributes", "attribute:"  # the task, and what the names of its heads begin with


class DecisionError(ValueError):
    """The logits or the modality do not fit the heads, or a head has no task."""


class Decider:
    """Turns rows of logits into answers by the heads and thresholds of a ``heads.json`` dict and the tasks' code."""

    def __init__(self, heads: Mapping[str, Any], tasks: Sequence[Task], top_k: int = 5) -> None:
        if top_k < 1:
            raise DecisionError(f"top_k must be at least 1, not {top_k}")
        self._heads = list(heads["heads"])
        self._tasks = list(tasks)
        unknown = {str(head["task"]) for head in self._heads} - {task.name for task in self._tasks}
        if unknown:
            raise DecisionError(f"heads of tasks without code: {sorted(unknown)}")
        self._thresholds = dict(heads["thresholds"])
        self._class_thresholds = dict(heads.get("class_thresholds", {}))
        self._level_thresholds = dict(heads.get("level_thresholds", {}))
        named = {task.name: task for task in self._tasks}
        self._kept = {str(head["name"]): named[head["task"]].prepare(head, heads) for head in self._heads}
        self._modalities = list(heads["modalities"])
        self._unlabelled = {(head, one) for head, found in heads.get("unlabelled", {}).items() for one in found}
        self._zero_shot = {(head, one) for head, found in heads.get("zero_shot", {}).items() for one in found}
        self._points = dict(heads.get("points", {}))
        self._minimum_ages = dict(heads.get("policy", {}).get("minimum_ages", {}))
        self._top_k = top_k
        self._applicable = Applicable(heads.get("applies", ()))
        self._open_values = OpenValues(heads["open"]) if heads.get("open") else None
        self._unseen = Unseen(heads.get("unseen") or {}, CategoryNames(heads.get("taxonomy") or {}))
        self.columns = max([int(head["stop"]) for head in self._heads] + [self._unseen.stop])

    def answer(self, logits: np.ndarray, modality: str, query: Query | None = None) -> dict[str, Any]:
        """Return the answer to one listing as the service's outputs by name (``ecclip.formats.service``).

        ``logits`` [columns] come from the heads of ``modality``; ``query`` holds the texts of the request. The output
        DECISION maps every head, or a task without any, to auto, review or unknown. Attributes that do not apply to the
        category are not asked for and have no place in either. A zero-shot head is never auto: what it flags is for
        review, the rest unknown. Categories without examples are suggested beside the answer, and change nothing of it.

        Raises:
            DecisionError: the wrong number of logits, a logit that is not finite, or an unknown modality.
        """
        row = np.asarray(logits, dtype=np.float64)
        if modality not in self._modalities:
            raise DecisionError(f"unknown modality {modality!r}; one of {self._modalities}")
        if row.shape != (self.columns,) or not np.isfinite(row).all():
            raise DecisionError(f"expected {self.columns} finite logits, got shape {row.shape}")
        outputs: dict[str, Any] = {}
        decisions: dict[str, str] = {}
        given = query or Query()
        for task in self._tasks:
            heads = [head for head in self._heads if head["task"] == task.name]
            asked = self._asked(outputs)
            scored = [self._scored(head, row, modality) for head in heads if _applies(str(head["name"]), asked)]
            read = self._read(given, asked) if task.name == _ATTRIBUTES else {}
            told = replace(given, open_values={name: one.output() for name, one in read.items()})
            _merge(outputs, task.answer(scored, told, self._top_k))
            decisions |= {one.name: _decision(task, one) for one in scored}
            decisions |= {f"{_ATTRIBUTE}{name}": one.decision for name, one in read.items()}
            decisions |= {} if heads or read else {task.name: UNKNOWN}
        for task in self._tasks:
            kept = [self._kept[str(head["name"])] for head in self._heads if head["task"] == task.name]
            outputs |= task.in_language(outputs, kept, given.language)
        suggested = self._unseen.suggest(row, modality, given.language, self._top_k)
        return outputs | {"CATEGORY_SUGGESTED": suggested, "DECISION": decisions}

    def _asked(self, outputs: Mapping[str, Any]) -> frozenset[str] | None:
        """Return the attributes that apply to the category answered so far; None stands for all."""
        leaves = _leaves(outputs)
        return self._applicable.asked([path for path, _ in leaves], [score for _, score in leaves])

    def _read(self, query: Query, asked: frozenset[str] | None) -> dict[str, OpenValue]:
        if self._open_values is None:
            return {}
        return self._open_values.answer(query.title, query.description, names=asked)

    def _scored(self, head: Mapping[str, Any], row: np.ndarray, modality: str) -> HeadScores:
        name, loss = str(head["name"]), str(head["loss"])
        if (name, modality) in self._unlabelled:
            return HeadScores(name, loss, head["labels"], None)
        scores = probabilities(row[int(head["start"]) : int(head["stop"])], loss)
        levels = {int(level): score for level, score in self._of(self._level_thresholds, name, modality).items()}
        certain = self._is_certain(name, modality, scores, loss)
        return HeadScores(
            name,
            loss,
            head["labels"],
            scores,
            certain,
            levels,
            self._kept[name],
            point=float(self._of(self._points, name, modality).get("score", EVEN_CHANCE)),
            zero_shot=(name, modality) in self._zero_shot,
            minimum_age=self._minimum_ages.get(str(head["labels"][0])) if loss == "sigmoid" else None,
        )

    def _is_certain(self, name: str, modality: str, scores: np.ndarray, loss: str) -> bool:
        pooled = self._thresholds.get(name, {}).get(modality, NEVER_AUTO)
        own = self._of(self._class_thresholds, name, modality)
        threshold = own.get(str(int(answered(scores, loss))), pooled)
        return bool(confidence(scores, loss) >= max(float(threshold), EVEN_CHANCE))

    @staticmethod
    def _of(thresholds: Mapping[str, Any], name: str, modality: str) -> dict[str, Any]:
        return dict(thresholds.get(name, {}).get(modality, {}))


def _decision(task: Task, scored: HeadScores) -> str:
    if scored.scores is None or (scored.zero_shot and not scored.flagged):
        return UNKNOWN
    if scored.zero_shot:
        return REVIEW
    return AUTO if task.is_auto(scored) else REVIEW


def _leaves(outputs: Mapping[str, Any]) -> list[tuple[Sequence[str], float]]:
    """Return the categories answered so far with their scores, without one that others among them stand below."""
    found = list(zip(outputs.get("CATEGORY") or (), outputs.get("CATEGORY_SCORE") or (), strict=True))
    above = {tuple(path[:level]) for path, _ in found for level in range(len(path))}
    return [(path, score) for path, score in found if tuple(path) not in above]


def _applies(head: str, asked: frozenset[str] | None) -> bool:
    return asked is None or not head.startswith(_ATTRIBUTE) or head.removeprefix(_ATTRIBUTE) in asked


def _merge(outputs: dict[str, Any], answer: Mapping[str, Any]) -> None:
    """Add one task's outputs; an output that several tasks fill is a dict with a key per task."""
    for name, value in answer.items():
        outputs[name] = outputs.get(name, {}) | value if isinstance(value, dict) else value
