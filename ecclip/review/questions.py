"""What can be asked of a night's listings: one question per head, and the labels that answer it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ecclip.formats.corrections import FIELDS, Label
from ecclip.formats.policies.age import OWN_LABEL
from ecclip.tasks import Head, Heads, Rows
from ecclip.tasks.kinds import TASKS

ABSENT = "not present"
AGE_LABELS = ("no", "yes")  # of one class of age restriction, as the attribute age:<class> spells them


@dataclass(frozen=True)
class Question:
    """The label that one head answers, as it stands in the dump.

    ``labels`` are all that the catalog, the head or the shop's taxonomy knows, in the order of their texts; no other is
    accepted.
    """

    head: Head
    field: str
    name: str  # of an attribute; empty for the other fields
    labels: list[Label]

    @property
    def title(self) -> str:
        """Return what people call it."""
        return self.name or self.field.replace("_", " ")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Return the place of each label in ``labels``, by :func:`label_key`."""
        return {label_key(label): number for number, label in enumerate(self.labels)}

    @cached_property
    def texts(self) -> dict[str, Label]:
        """Return the labels by what people read and write of them."""
        return {label_text(label): label for label in self.labels}

    def number(self, label: Label) -> int:
        """Return the place of a label in ``labels``; -1 for one that is not known."""
        return self.numbers.get(label_key(label), -1)


def label_key(label: Label) -> str:
    """Return a label as the one text that no other label has."""
    return json.dumps(label, ensure_ascii=False)


def label_text(label: Label) -> str:
    """Return a label as people read it: ``Home > Mugs``, ``yes``, ``not present``."""
    if isinstance(label, bool):
        return "yes" if label else "no"
    return " > ".join(label) if isinstance(label, list) else ABSENT if label is None else label


def label_columns() -> list[str]:
    """Return the columns of a snapshot that hold the labels of all tasks."""
    return sorted({name for task in TASKS if task.columns[0] in FIELDS for name in task.columns if name in FIELDS})


def questions_of(heads: Heads, rows: Rows) -> dict[str, Question]:
    """Return the question of each head by the head's name; of a task whose labels no field of the dump holds, none."""
    columns = {task.name: task.columns[0] for task in TASKS if task.columns[0] in FIELDS}
    return {head.name: _question(head, columns[head.task], rows) for head in heads.parts if head.task in columns}


def given_labels(question: Question, rows: Rows) -> list[Label]:
    """Return the label that each listing has in the snapshot; None where it has none.

    Of a class of age restriction it is what the policy makes of the listing's row.
    """
    if rows.policy is not None and is_age_class(question.head):
        one = next((one for one in rows.policy.policy.classes if one.head == question.head.name), None)
        known = [] if one is None else rows.policy.policy.labels(one, rows.given)
        return [None if label is None else AGE_LABELS[label] for label in known]
    return _given(rows.given[question.field], question.name)


def class_labels(head: Head) -> list[Label]:
    """Return the labels of a head by their class numbers; of a flag no and yes, as its field spells them."""
    if is_age_class(head):
        return list(AGE_LABELS)
    return [False, True] if head.loss == "sigmoid" else list(head.labels)


def is_age_class(head: Head) -> bool:
    """Say whether a head is of one class of age restriction, whose label a person keeps as an attribute."""
    return head.name.startswith(OWN_LABEL)


def _question(head: Head, field: str, rows: Rows) -> Question:
    if is_age_class(head):
        return Question(head, "attributes", head.name, list(AGE_LABELS))
    name = head.name.partition(":")[2] if field == "attributes" else ""
    found: dict[str, Label] = {label_key(label): label for label in class_labels(head)}
    found |= {label_key(label): label for label in _given(rows.given[field], name) if label is not None}
    if field == "category" and rows.taxonomy is not None:
        found |= {label_key(list(path)): list(path) for path in rows.taxonomy.paths.values()}
    if field not in ("category", "age_restricted"):
        found[label_key(None)] = None  # what a listing does not have can be said of every attribute
    return Question(head, field, name, sorted(found.values(), key=lambda label: (label is not None, label_text(label))))


def _given(cells: Iterable[Any], name: str) -> list[Label]:
    return [dict(cell or ()).get(name) for cell in cells] if name else list(cells)


def numbers_of(question: Question, labels: Sequence[Label]) -> np.ndarray:
    """Return the place of each label in the question's, int64 [N]; -1 for None where that is no label of it."""
    return np.array([question.number(label) for label in labels], dtype=np.int64)
