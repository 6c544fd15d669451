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
ATTRIBUTE_PREFIX = "attribute:"
AUTO = "auto"
REVIEW = "review"
NEVER_AUTO = 2.0  # above every score: what a task without a usable threshold gets


class DecisionError(ValueError):
    """The logits or the modality do not fit the heads."""


@dataclass(frozen=True)
class Answer:
    """What the heads say about one listing.

    ``categories`` holds at most k paths root -> leaf, best first, with ``category_scores`` (probabilities) beside it.
    ``attributes`` holds ``{name: {"value": str, "score": float}}`` of the attributes that are present.
    ``age_restricted`` is the probability of the flag. ``decisions`` says ``auto`` or ``review`` for every task.
    """

    categories: list[tuple[str, ...]] = field(default_factory=list)
    category_scores: list[float] = field(default_factory=list)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    age_restricted: float = 0.0
    decisions: dict[str, str] = field(default_factory=dict)


class Decider:
    """Turns logits rows into answers by the tasks and thresholds of a ``heads.json`` dict."""

    def __init__(self, heads: Mapping[str, Any], top_k: int = 5) -> None:
        if top_k < 1:
            raise DecisionError(f"top_k is at least 1, not {top_k}")
        self._tasks = list(heads["tasks"])
        self._thresholds = dict(heads["thresholds"])
        self._modalities = list(heads["modalities"])
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
        answer = Answer()
        age_restricted = 0.0
        for task in self._tasks:
            name = str(task["name"])
            scores = probabilities(row[int(task["start"]) : int(task["stop"])], str(task["kind"]))
            if name == AGE_RESTRICTED:
                age_restricted = _plain(scores[0])
            elif name == CATEGORY:
                for index in best(scores, self._top_k):
                    answer.categories.append(tuple(task["labels"][index]))
                    answer.category_scores.append(_plain(scores[index]))
            else:
                index = int(np.argmax(scores))
                value = task["labels"][index]
                if value is not None:
                    attribute = name.removeprefix(ATTRIBUTE_PREFIX)
                    answer.attributes[attribute] = {"value": value, "score": _plain(scores[index])}
            threshold = float(self._thresholds.get(name, {}).get(modality, NEVER_AUTO))
            answer.decisions[name] = AUTO if confidence(scores, str(task["kind"])) >= threshold else REVIEW
        return Answer(answer.categories, answer.category_scores, answer.attributes, age_restricted, answer.decisions)


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
