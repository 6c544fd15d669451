"""From a row of logits to an answer: the one definition, used by the report and by the server.

Needs numpy (1.26 or 2) and the standard library only; the file is copied as it is into the model repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CATEGORY = "category"
AGE_RESTRICTED = "age_restricted"
ATTRIBUTES = "attributes"
ATTRIBUTE_PREFIX = "attribute:"
AUTO = "auto"
REVIEW = "review"
UNKNOWN = "unknown"  # nobody ever said what is true: there is no answer, which is not the answer no
NEVER_AUTO = 2.0  # above every score: what a task without a usable threshold gets


class DecisionError(ValueError):
    """The logits or the modality do not fit the heads."""


@dataclass(frozen=True)
class Answer:
    """What the heads say about one listing.

    ``categories`` holds at most k paths root -> leaf, best first, with ``category_scores`` (probabilities) beside it.
    ``attributes`` holds ``{name: {"value": str, "score": float}}`` of the attributes that are present.
    ``age_restricted`` is the probability of the flag. ``decisions`` says ``auto`` or ``review`` for every task.

    A task that no label taught has the decision ``unknown``: no categories, an attribute whose value and score are
    None, a flag of None.
    """

    categories: list[tuple[str, ...]] = field(default_factory=list)
    category_scores: list[float] = field(default_factory=list)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    age_restricted: float | None = None
    decisions: dict[str, str] = field(default_factory=dict)


class Decider:
    """Turns logits rows into answers by the tasks and thresholds of a ``heads.json`` dict."""

    def __init__(self, heads: Mapping[str, Any], top_k: int = 5) -> None:
        if top_k < 1:
            raise DecisionError(f"top_k is at least 1, not {top_k}")
        self._tasks = list(heads["tasks"])
        self._thresholds = dict(heads["thresholds"])
        self._modalities = list(heads["modalities"])
        self._untaught = {(task, one) for task, found in heads.get("untaught", {}).items() for one in found}
        self._top_k = top_k
        self.columns = max((int(task["stop"]) for task in self._tasks), default=0)

    def answer(self, logits: np.ndarray, modality: str) -> Answer:
        """Return the answer for ``logits`` [columns] of one listing, read by the head of ``modality``.

        Raises:
            DecisionError: another number of logits, a logit that is not finite, or an unknown modality.
        """
        row = np.asarray(logits, dtype=np.float64)
        if modality not in self._modalities:
            raise DecisionError(f"unknown modality {modality!r}; one of {self._modalities}")
        if row.shape != (self.columns,) or not np.isfinite(row).all():
            raise DecisionError(f"expected {self.columns} finite logits, got shape {row.shape}")
        found: dict[str, Any] = {"categories": [], "category_scores": [], "attributes": {}}
        decisions = self._without_head()
        for task in self._tasks:
            name, kind = str(task["name"]), str(task["kind"])
            if (name, modality) in self._untaught:
                decisions[name] = UNKNOWN
                if name.startswith(ATTRIBUTE_PREFIX):
                    found["attributes"][name.removeprefix(ATTRIBUTE_PREFIX)] = {"value": None, "score": None}
                continue
            scores = probabilities(row[int(task["start"]) : int(task["stop"])], kind)
            self._say(task, scores, found)
            threshold = float(self._thresholds.get(name, {}).get(modality, NEVER_AUTO))
            decisions[name] = AUTO if confidence(scores, kind) >= threshold else REVIEW
        return Answer(**found, decisions=decisions)

    def _without_head(self) -> dict[str, str]:
        """Return the decision on the tasks for which there is no head at all, as nothing could teach one."""
        names = [str(task["name"]) for task in self._tasks]
        missing = {name for name in (CATEGORY, AGE_RESTRICTED) if name not in names}
        if not any(name.startswith(ATTRIBUTE_PREFIX) for name in names):
            missing.add(ATTRIBUTES)
        return dict.fromkeys(sorted(missing), UNKNOWN)

    def _say(self, task: Mapping[str, Any], scores: np.ndarray, found: dict[str, Any]) -> None:
        """Put the answer of one head, ``scores`` [C], into ``found``."""
        name, labels = str(task["name"]), task["labels"]
        if name == AGE_RESTRICTED:
            found["age_restricted"] = _plain(scores[0])
        elif name == CATEGORY:
            top = best(scores, self._top_k)
            found["categories"] = [tuple(labels[index]) for index in top]
            found["category_scores"] = [_plain(scores[index]) for index in top]
        else:
            index = int(np.argmax(scores))
            if labels[index] is not None:
                attribute = {"value": labels[index], "score": _plain(scores[index])}
                found["attributes"][name.removeprefix(ATTRIBUTE_PREFIX)] = attribute


def probabilities(logits: np.ndarray, kind: str) -> np.ndarray:
    """Return the probabilities [..., C] of ``logits`` [..., C]: kind ``softmax`` or ``sigmoid``."""
    values = np.asarray(logits, dtype=np.float64)
    if kind == "sigmoid":
        result: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * values))  # the logistic function without overflow
        return result
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def confidence(scores: np.ndarray, kind: str) -> np.ndarray:
    """Return [...] of ``scores`` [..., C]: the probability of the answer, the best class or yes/no at one half."""
    if kind == "sigmoid":
        yes = scores[..., 0]
        return np.maximum(yes, 1.0 - yes)
    result: np.ndarray = scores.max(axis=-1)
    return result


def best(scores: np.ndarray, k: int) -> list[int]:
    """Return the indices of the ``k`` highest of ``scores`` [C], best first; equal scores in index order."""
    return [int(index) for index in np.argsort(-scores, kind="stable")[:k]]


def _plain(score: float) -> float:
    return round(float(score), 6)  # six digits: the same text in every JSON
