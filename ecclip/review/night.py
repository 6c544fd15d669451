"""A night as it is reviewed: its listings, what its heads say of them, and what the catalog says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ecclip.core import ContractError
from ecclip.formats.bundle import HEADS
from ecclip.formats.columns import IMAGE_SHA256, TITLE_ORIGINAL
from ecclip.formats.corrections import Label
from ecclip.formats.snapshot import Snapshot
from ecclip.review.drawing import Filter, draw
from ecclip.review.questions import Question, given_labels, label_columns, numbers_of, questions_of
from ecclip.review.scored import Inputs, Scored, best_labels, score_question, suggested_paths
from ecclip.tasks import Heads, Rows, load_heads
from ecclip.tasks.rows import load_rows

_DETAILS = (TITLE_ORIGINAL, "description", "seller_id", "brand", "price", "currency", IMAGE_SHA256)


@dataclass(frozen=True)
class _Answers:
    scored: Scored
    given: list[Label]
    numbers: np.ndarray  # of ``given`` among the question's labels, int64 [N]


@dataclass
class ReviewedNight:
    """The listings of a published night with the answers of heads; what is costly is computed once.

    Raises (by :meth:`load`):
        ContractError: the embeddings are not those of the snapshot.
        IntegrityError: a part is missing or cannot be read.
    """

    night: str
    snapshot: Snapshot
    rows: Rows
    heads: Heads
    _known: dict[str, _Answers] = field(default_factory=dict)
    _queues: dict[Filter, np.ndarray] = field(default_factory=dict)

    @classmethod
    def load(cls, night: str, snapshot: Path, embedded: Path, evaluated: Path) -> ReviewedNight:
        """Read a night from the folders of the stages publish, embed and evaluate."""
        rows = load_rows(snapshot, embedded, label_columns())
        return cls(night, Snapshot(snapshot), rows, load_heads(evaluated / HEADS))

    @cached_property
    def questions(self) -> dict[str, Question]:
        """Return the questions by the names of their heads."""
        return questions_of(self.heads, self.rows)

    @cached_property
    def places(self) -> dict[str, int]:
        """Return the place of each listing by its id."""
        return {str(listing_id): place for place, listing_id in enumerate(self.rows.listing_ids)}

    @cached_property
    def _inputs(self) -> Inputs:
        return self.rows.inputs(features=self.heads.read_features)

    def question(self, head: str) -> Question:
        """Return a question by its head's name; the first for an empty name.

        Raises:
            ContractError: there is no such question, or none at all.
        """
        name = head or next(iter(self.questions), "")
        if name not in self.questions:
            raise ContractError(
                "nothing of this name can be reviewed",
                value=name or "no task has labels to learn from",
                limit=", ".join(self.questions),
                next_step="name one of these; they are the heads of the night's evaluation",
            )
        return self.questions[name]

    def place(self, listing_id: str) -> int:
        """Return the place of a listing.

        Raises:
            ContractError: the night does not have it.
        """
        if listing_id not in self.places:
            raise ContractError(
                "the night has no such listing",
                value=listing_id[:200],
                limit=f"{len(self.places)} listings of {self.night}",
                next_step="see where it went: ecclip catalog trace",
            )
        return self.places[listing_id]

    def answers(self, question: Question) -> Scored:
        """Return the answers to a question."""
        return self._answered(question).scored

    def given(self, question: Question, place: int) -> Label:
        """Return the label that a listing has in the snapshot."""
        return self._answered(question).given[place]

    def best(self, question: Question, place: int, count: int) -> list[tuple[Label, float]]:
        """Return the likeliest labels of a listing with their probabilities."""
        found = best_labels(self.rows, self._inputs, self.heads, question, place, count)
        return [(question.labels[number], score) for number, score in found]

    def suggested(self, question: Question, place: int, count: int) -> list[tuple[Label, float]]:
        """Return the categories without examples that are suggested for a listing; of other questions none."""
        if question.field != "category":
            return []
        return [(path, score) for path, score in suggested_paths(self.rows, self._inputs, self.heads, place, count)]

    def queue(self, wanted: Filter) -> np.ndarray:
        """Return the places of the listings that a filter looks at, in their order, whoever has looked at them.

        Raises:
            ContractError: there is no such question, or no such label.
        """
        if wanted not in self._queues:
            question = self.question(wanted.head)
            answers = self._answered(question)
            label = question.number(known_label(question, wanted.label)) if wanted.label else None
            self._queues[wanted] = draw(wanted, answers.scored, answers.numbers, self.rows.split, label)
        return self._queues[wanted]

    def details(self, places: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return what people read of some listings, by their places."""
        wanted = {str(self.rows.listing_ids[place]): place for place in places}
        table = self.snapshot.table(
            ["listing_id", *_DETAILS], pc.field("listing_id").isin(pa.array(wanted, pa.string()))
        )
        return {wanted[row["listing_id"]]: row for row in table.to_pylist()}

    def _answered(self, question: Question) -> _Answers:
        name = question.head.name
        if name not in self._known:
            given = given_labels(question, self.rows)
            scored = score_question(self.rows, self._inputs, self.heads, question)
            self._known[name] = _Answers(scored, given, numbers_of(question, given))
        return self._known[name]


def known_label(question: Question, text: str) -> Label:
    """Return the label that people read as ``text``.

    Raises:
        ContractError: neither the catalog nor the head knows it.
    """
    if text not in question.texts:
        raise ContractError(
            f"there is no such {question.title}",
            value=text[:200],
            limit=f"{len(question.labels)} labels that the night knows",
            next_step="take one of the labels that the page offers",
        )
    return question.texts[text]
