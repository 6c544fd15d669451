"""Answers beside known ones: embeddings, scores, labels and decisions, within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ecclip.client import Answer
from ecclip.formats.service import OUTPUTS

if TYPE_CHECKING:
    from ecclip.serving.golden import Golden


@dataclass(frozen=True)
class Tolerance:
    """How far answers may lie from the known ones.

    Attributes:
        score: largest difference of a probability.
        embedding: largest difference of a component of the embedding.
        cosine: least cosine of an embedding to the known one.
        decisions: largest share of the listings with another label or decision than the known ones.
    """

    score: float
    embedding: float = math.inf
    cosine: float = -1.0
    decisions: float = 0.0


@dataclass
class Comparison:
    """What was found; ``reasons`` is empty where all is within the tolerance, the rest are the worst figures."""

    reasons: list[str] = field(default_factory=list)
    score: float = 0.0
    embedding: float = 0.0
    cosine: float = 1.0
    decisions: float = 0.0


def compare(known: Sequence[Golden], answers: Sequence[Answer], tolerance: Tolerance) -> Comparison:
    """Return how far the answers to known questions lie from theirs, each reason with its listing."""
    found = Comparison()
    other: list[str] = []
    for one, answer in zip(known, answers, strict=True):
        who = f"{one.listing_id} ({one.kind})"
        if one.answer.error or answer.error:
            if answer.error != one.answer.error:
                found.reasons.append(f"{who}: error {answer.error!r} instead of {one.answer.error!r}")
            continue
        labels = _compare_outputs(one.answer, answer, who, tolerance, found)
        _compare_embeddings(one.answer, answer, who, tolerance, found)
        other += [f"{who}: {label}" for label in labels]
        found.decisions += bool(labels) / len(known)
    if found.decisions > tolerance.decisions:
        found.reasons += other
    return found


def leaves_of(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return every label, decision and score of an answer by its place in it; of a ranked output the first one."""
    found: dict[str, Any] = {}
    for tensor in OUTPUTS:
        value = outputs.get(tensor.name)
        if tensor.name not in ("EMBEDDING", "LINEAGE", "ERROR"):
            found |= _flat(tensor.name, value[:1] if tensor.ranked and value else value)
    return found


def _compare_outputs(known: Answer, answer: Answer, who: str, tolerance: Tolerance, found: Comparison) -> list[str]:
    """Count the scores in; return what is said of labels and decisions that are others than the known ones."""
    ours, theirs = leaves_of(known.to_outputs()), leaves_of(answer.to_outputs())
    other = []
    for name in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(name, "nothing"), theirs.get(name, "nothing")
        if isinstance(left, float) and isinstance(right, float):
            found.score = _worst(found.score, abs(left - right))
            if not abs(left - right) <= tolerance.score:  # not a number is never near
                found.reasons.append(f"{who}: {name} {right:.6g} instead of {left:.6g} (limit {tolerance.score} apart)")
        elif left != right:
            other.append(f"{name} {right!r} instead of {left!r}")
    return other


def _compare_embeddings(known: Answer, answer: Answer, who: str, tolerance: Tolerance, found: Comparison) -> None:
    left, right = known.embedding, answer.embedding
    same_shape = left.shape == right.shape
    difference = float(np.abs(left - right).max()) if same_shape else math.inf
    cosine = float(left @ right) if same_shape else -1.0
    found.embedding, found.cosine = _worst(found.embedding, difference), -_worst(-found.cosine, -cosine)
    if not difference <= tolerance.embedding:
        found.reasons.append(f"{who}: the embedding differs by {difference:.3g} (limit {tolerance.embedding})")
    if not cosine >= tolerance.cosine:
        found.reasons.append(
            f"{who}: the embedding's cosine to the known one is {cosine:.6g} (least {tolerance.cosine})"
        )


def _worst(one: float, other: float) -> float:
    return math.nan if math.isnan(one) or math.isnan(other) else max(one, other)


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list | tuple) and not all(isinstance(one, str) for one in value):
        parts = list(enumerate(value))
    else:
        return {name: list(value) if isinstance(value, tuple) else value}
    return {place: leaf for key, part in parts for place, leaf in _flat(f"{name}[{key}]", part).items()}
