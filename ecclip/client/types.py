"""Products, answers, and the limits of one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import numpy as np

from ..formats.service import IMAGE_BYTES, MAX_BATCH, TEXT_BYTES

__all__ = [
    "IMAGE_BYTES",
    "MAX_BATCH",
    "MESSAGE_BYTES",
    "TEXT_BYTES",
    "Answer",
    "AttributeAnswer",
    "Product",
    "SuggestedCategory",
]

MESSAGE_BYTES = 32 * 1024 * 1024  # of a request; a larger one is read whole by the server before it is refused


@dataclass(frozen=True)
class Product:
    """One listing to be understood: a photo (a file in one of ``ecclip.product_input.FORMATS``), a title, or both.

    A description may go with them; which tasks read it is said in docs/service.md. ``language`` is the one that names
    of categories, and of options that the shop has named, are asked for in, by its tag: ``ko``, ``pt-BR``.
    """

    image: bytes | None = None
    title: str | None = None
    description: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class SuggestedCategory:
    """A category of the shop's taxonomy without examples that a listing lies nearer to than to any learnt one.

    That is by its names, synonyms and description alone (``zero_shot``): ``score`` is above 0.5 and no probability, and
    the ``decision`` is never `auto`.
    """

    path: tuple[str, ...]
    id: str
    score: float
    zero_shot: bool = True
    decision: str = "review"


class AttributeAnswer(TypedDict):
    """What is said of one attribute: the value None is "not present" with a score, and unknown without.

    ``source`` says of an open value whether it stands in the ``title`` or the ``description``. ``zero_shot`` is there,
    and true, where nothing was learnt: the value is the nearest of the options that the shop has named, the score a
    share and no probability, and the decision never `auto`.
    """

    value: str | None
    score: float | None
    source: NotRequired[str]
    zero_shot: NotRequired[bool]


_OUTPUT_OF = {  # field of an answer -> output of the service
    "categories": "CATEGORY",
    "category_scores": "CATEGORY_SCORE",
    "category_ids": "CATEGORY_ID",
    "suggested": "CATEGORY_SUGGESTED",
    "attributes": "ATTRIBUTES",
    "age": "AGE_RESTRICTED",
    "age_restricted": "AGE_RESTRICTED_SCORE",
    "age_classes": "AGE_CLASS",
    "age_class_scores": "AGE_CLASS_SCORE",
    "age_class_bases": "AGE_CLASS_BASIS",
    "other_tasks": "OTHER_TASKS",
    "decisions": "DECISION",
    "embedding": "EMBEDDING",
    "lineage": "LINEAGE",
    "error": "ERROR",
}


@dataclass(frozen=True)
class Answer:
    """What the live bundle says about one listing; when ``error`` is not empty the rest says nothing.

    ``categories`` are paths root -> leaf, with their probabilities and the taxonomy's ids, if it has one: the answer,
    which may end above a leaf where no leaf is certain, then the best leaves. ``suggested`` are categories without
    examples, the nearest first, for review; none of an older server, or without a taxonomy. ``attributes`` are those
    that apply to the category, by name.
    ``age_restricted`` is the largest probability of the classes of age restriction that have labels, those of the
    classes stand in ``age_class_scores`` beside ``age_classes``, and what each rests on (``labels``, ``zero_shot`` or
    ``unknown``) in ``age_class_bases``. ``age`` is what follows: ``{"restricted": bool or None,
    "classes": [...], "suspected": [...], "minimum_age": int or None}``, empty of an older server. ``other_tasks`` is
    ``{task: {"value", "score"}}`` of tasks that have no output of their own. ``decisions`` is ``auto`` or ``review``
    for every head, and ``unknown`` for one without labels to learn from: then there are no categories, and a value or
    score is None. ``embedding`` is float32 [d] of length 1. ``lineage`` leads back to the bundle, ``request_id`` to the
    message that it came with in the server's log.
    """

    categories: list[tuple[str, ...]] = field(default_factory=list)
    category_scores: list[float] = field(default_factory=list)
    category_ids: list[str] = field(default_factory=list)
    suggested: list[SuggestedCategory] = field(default_factory=list)
    attributes: dict[str, AttributeAnswer] = field(default_factory=dict)
    age: dict[str, Any] = field(default_factory=dict)
    age_restricted: float | None = None
    age_classes: list[str] = field(default_factory=list)
    age_class_scores: list[float | None] = field(default_factory=list)
    age_class_bases: list[str] = field(default_factory=list)
    other_tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    decisions: dict[str, str] = field(default_factory=dict)
    embedding: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    lineage: str = ""
    error: str = ""
    request_id: str = ""

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, Any]) -> Answer:
        """Return the answer of the service's outputs by name; what is not among them stays empty."""
        given = {name: outputs[output] for name, output in _OUTPUT_OF.items() if output in outputs}
        if given.get("error"):
            return cls(lineage=given.get("lineage", ""), error=given["error"])
        named = [SuggestedCategory(**{**one, "path": tuple(one["path"])}) for one in given.get("suggested", ())]
        return cls(**given | {"categories": [tuple(path) for path in given.get("categories", ())], "suggested": named})

    def to_outputs(self) -> dict[str, Any]:
        """Return the service's outputs by name: what :meth:`from_outputs` takes."""
        found = {output: getattr(self, name) for name, output in _OUTPUT_OF.items()}
        return found | {"CATEGORY_SUGGESTED": [{**vars(one), "path": list(one.path)} for one in self.suggested]}
