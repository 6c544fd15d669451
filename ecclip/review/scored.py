"""What a night's heads say of each of its listings: answer, score, margin, and where photo and title disagree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecclip.review.questions import Question, class_labels
from ecclip.tasks import Heads, Rows
from ecclip.tasks.scores import answered, confidence, is_auto, margins, probabilities

_MODALITIES = ("text", "image", "both")  # the richest last: its answer is the listing's


@dataclass(frozen=True)
class Scored:
    """The answers to one question; every array has N rows, in the order of the listings.

    Labels are places in the question's ``labels``, -1 where there is no answer.
    """

    answer: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    auto: np.ndarray
    image: np.ndarray
    image_score: np.ndarray
    text: np.ndarray
    text_score: np.ndarray

    @property
    def disagree(self) -> np.ndarray:
        """Return bool [N]: the photo alone says something else than the title alone."""
        result: np.ndarray = (self.image >= 0) & (self.text >= 0) & (self.image != self.text)
        return result


Inputs = tuple[np.ndarray, np.ndarray]  # what heads read of photos and of titles, float32 [N, i] and [N, t]


def score_question(rows: Rows, inputs: Inputs, heads: Heads, question: Question) -> Scored:
    """Return the answers of the question's head to all listings."""
    count = len(rows.listing_ids)
    places = np.array([question.number(label) for label in class_labels(question.head)], dtype=np.int64)
    found: dict[str, Any] = {name: np.full(count, -1) for name in ("answer", "image", "text")}
    found |= {name: np.zeros(count) for name in ("score", "margin", "image_score", "text_score")}
    found["auto"] = np.zeros(count, dtype=bool)
    for modality in _MODALITIES:
        members = np.flatnonzero(rows.has(modality))
        if modality in heads.unlabelled.get(question.head.name, ()) or not len(members):
            continue
        scores = _scores(inputs, heads, question, modality, members)
        loss, point = question.head.loss, heads.point_of(question.head, modality)
        number = answered(scores, loss) if point is None else (scores[:, 0] >= point.score).astype(np.int64)
        sure = confidence(scores, loss)
        found["answer"][members], found["score"][members] = places[number], sure
        found["margin"][members] = margins(scores, loss)
        found["auto"][members] = is_auto(scores, heads.class_thresholds_of(question.head, modality), loss)
        if modality != "both":
            found[modality][members], found[f"{modality}_score"][members] = places[number], sure
    return Scored(**found)


def best_labels(
    rows: Rows, inputs: Inputs, heads: Heads, question: Question, place: int, count: int
) -> list[tuple[int, float]]:
    """Return the likeliest labels of one listing with their probabilities, best first, from all that it has."""
    known = [name for name in _MODALITIES if name not in heads.unlabelled.get(question.head.name, ())]
    usable = [name for name in known if rows.has(name)[place]]
    if not usable:
        return []
    scores = _scores(inputs, heads, question, usable[-1], np.array([place]))[0]
    if question.head.loss == "sigmoid":
        scores = np.array([1 - scores[0], scores[0]])
    labels = class_labels(question.head)
    best = np.argsort(-scores, kind="stable")[:count]
    return [(question.number(labels[number]), float(scores[number])) for number in best]


def suggested_paths(rows: Rows, inputs: Inputs, heads: Heads, place: int, count: int) -> list[tuple[list[str], float]]:
    """Return categories without examples that one listing lies nearest to, with their scores, from all that it has."""
    usable = [name for name in _MODALITIES if rows.has(name)[place]]
    if not usable:
        return []
    image, text = (one[[place]] for one in inputs)
    found = heads.suggested(heads.logits(image, text, usable[-1])[0], usable[-1], count)
    return [(one["path"], one["score"]) for one in found]


def _scores(inputs: Inputs, heads: Heads, question: Question, modality: str, members: np.ndarray) -> np.ndarray:
    """Return the probabilities [M, C] of the question's head alone for some listings [M]."""
    head = question.head
    columns = slice(head.start, head.stop)
    alone = replace(heads, weight=heads.weight[:, :, columns], bias=heads.bias[:, columns])
    image, text = inputs
    return probabilities(alone.logits(image[members], text[members], modality), head.loss)
