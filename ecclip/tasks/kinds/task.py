"""What a task is: targets, loss, report, answer, service outputs and gate defaults in one object.

This file and those of the tasks travel in the bundle and answer in the server: at the top of the module they import
numpy, the standard library and each other only. What trains and reports is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecclip.tasks.scores import EVEN_CHANCE, plain

if TYPE_CHECKING:
    from ecclip.tasks.config import EvaluateConfig
    from ecclip.tasks.report.classes import ScoredHead
    from ecclip.tasks.report.findings import Findings
    from ecclip.tasks.report.metrics import Bootstrap
    from ecclip.tasks.rows import Rows

NO_LABEL = -2  # class number of a listing without a label
OUTSIDE = -1  # class number of a label that is not in the head's label list: every answer to it is wrong


@dataclass(frozen=True)
class Target:
    """What one head of a task learns: its label list and int64 [N] class numbers, OUTSIDE or NO_LABEL where none.

    ``loss`` is softmax (one of the labels) or sigmoid (yes or no: one label, class numbers 1 and 0). A flag with a
    ``rate`` has an operating point at that false-positive rate. ``described``, float32 [C, d] and [C, width], is what
    the labels' descriptions are to the text tower, embedding and features, by which a flag without labels answers. A
    target that is ``zero_shot`` never learns: it answers by them whatever labels there are, which measure it. They are
    compared among the listings ``among``, bool [N]; None stands for all.
    """

    task: str
    name: str
    loss: str
    labels: list[Any]
    y: np.ndarray
    rate: float = 0.0
    described: tuple[np.ndarray, np.ndarray] | None = None
    zero_shot: bool = False
    among: np.ndarray | None = None


@dataclass(frozen=True)
class HeadScores:
    """What one head predicts for a listing: probabilities [C], or None where the head has no labels to learn from.

    The best class is ``certain`` where it reaches its threshold. ``levels`` are the thresholds of the levels that a
    path backs off to, and ``kept`` what the task has made of the head (:meth:`Task.prepare`).
    A flag is raised at and above ``point``. A head that is ``zero_shot`` has learnt from no label: its score is no
    probability. ``minimum_age`` is that of a class of age restriction, None where its policy does not say.
    """

    name: str
    loss: str
    labels: Sequence[Any]
    scores: np.ndarray | None
    certain: bool = False
    levels: Mapping[int, float] = field(default_factory=dict)
    kept: Any = None
    point: float = EVEN_CHANCE
    zero_shot: bool = False
    minimum_age: int | None = None

    @property
    def flagged(self) -> bool:
        """Whether the flag is raised."""
        return self.scores is not None and bool(self.scores[0] >= self.point)


@dataclass(frozen=True)
class Query:
    """The cleaned texts of a request, for tasks that read more than the embeddings; None where one was not given.

    ``open_values`` are the attributes read out of these texts, name -> value, score and source. ``language`` is the one
    that names are asked for in, a tag such as ``en`` or ``pt-BR``.
    """

    title: str | None = None
    description: str | None = None
    language: str | None = None
    open_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a metric must keep by default; see ``MetricGate`` of the registry."""

    floor: float | None = None
    allowed_drop: float | None = None


_CALIBRATION: tuple[tuple[str, str], ...] = (
    ("calibration error, raw", "ece_before"),
    ("calibration error, calibrated", "ece"),
    ("decided without review", "auto_coverage"),
    ("precision of those", "auto_precision"),
)


class Task:
    """One task on the towers' embeddings. A task is a subclass in its own file, with an instance ``TASK``.

    ``columns`` are the columns of a snapshot's listings that its targets are made from, ``evidence`` those of them that
    its report reads besides the true labels. ``outputs`` are the service's outputs that its answer fills. ``gate`` maps
    ``<modality>/<metric>`` to its default limit in the gate, of the head or heads named like the task and of those that
    the pattern ``more_heads`` names. ``headline`` and ``details`` are the lines of the report's
    page, (label, metric); ``note`` and ``no_head`` explain the table, and why there may be no head at all.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    evidence: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]] = ("OTHER_TASKS",)
    gate: ClassVar[Mapping[str, Limit]] = {}
    more_heads: ClassVar[str] = ""
    accuracy: ClassVar[str] = "accuracy"
    headline: ClassVar[tuple[tuple[str, str], ...]] = (("right answers", "accuracy"),)
    details: ClassVar[tuple[tuple[str, str], ...]] = (("macro F1", "macro_f1"), *_CALIBRATION)
    note: ClassVar[str] = ""
    no_head: ClassVar[str] = "no label has enough train listings"

    def targets(self, rows: Rows, cfg: EvaluateConfig) -> list[Target]:
        """Return what each head of this task learns from the snapshot's labels; empty where there are none."""
        raise NotImplementedError(f"{type(self).__name__} names no targets")

    def answer(self, heads: Sequence[HeadScores], query: Query, top_k: int) -> dict[str, Any]:
        """Return this task's part of an answer by the names of the service's outputs; called in the server.

        By default ``{"OTHER_TASKS": {name: {"value", "score"}}}`` of the only head; None stands for unknown.
        """
        scores = heads[0].scores if heads else None
        if scores is None:
            return {"OTHER_TASKS": {self.name: {"value": None, "score": None}}}
        top = int(np.argmax(scores))
        return {"OTHER_TASKS": {self.name: {"value": heads[0].labels[top], "score": plain(scores[top])}}}

    def prepare(self, head: Mapping[str, Any], heads: Mapping[str, Any]) -> Any:
        """Return what the task wants to keep of a head between answers; ``heads`` is the content of heads.json."""
        return None

    def is_auto(self, scored: HeadScores) -> bool:
        """Return whether the answer of a head needs no review; called in the server."""
        return scored.certain

    def in_language(self, outputs: Mapping[str, Any], kept: Sequence[Any], language: str | None) -> dict[str, Any]:
        """Return this task's outputs whose names differ in the language asked for; ``kept`` is of each head."""
        return {}

    def in_words(self, outputs: Mapping[str, Any]) -> str:
        """Return this task's part of an answer for people; ``outputs`` are all outputs of the service by name."""
        found = outputs["OTHER_TASKS"].get(self.name, {})
        return in_words(found.get("value"), found.get("score"), outputs["DECISION"].get(self.name))

    def report(
        self, scored: ScoredHead, rows: Rows, resample: Bootstrap, cfg: EvaluateConfig, findings: Findings
    ) -> None:
        """Add the metrics ``<head>/<modality>/*`` of one head on the test listings."""
        from ecclip.tasks.report.metrics import macro_f1

        right = (scored.answer == scored.truth).astype(np.float64)
        findings.add(f"{scored.prefix}/{self.accuracy}", float(right.mean()), resample.mean(right))
        interval = resample.weighted(macro_f1, scored.truth, scored.answer)
        findings.add(f"{scored.prefix}/macro_f1", macro_f1(scored.truth, scored.answer), interval)

    def report_together(
        self, scored: list[ScoredHead], rows: Rows, modality: str, cfg: EvaluateConfig, findings: Findings
    ) -> None:
        """Add the metrics ``<task>/<modality>/*`` of all heads together; :meth:`report` has those of a single head."""

    def true_paths(self, rows: Rows) -> list[Any] | None:
        """Return the true path of every listing, of which a part may be answered; None where labels are no paths."""
        return None

    def prompt(self, target: Target, label: Any) -> str | None:
        """Return what a label is called in front of a text encoder, None for what has no name; called in training."""
        return None

    def counted(self, scored: ScoredHead) -> np.ndarray:
        """Return bool [M]: the answers that the first metric of the headline counts."""
        return np.ones(len(scored.rows), dtype=bool)

    def truth(self, scored: ScoredHead, rows: Rows, place: int) -> list[str]:
        """Return the true label of test listing ``place`` for people, level by level."""
        number = int(scored.truth[place])
        return scored.in_words(number) if number >= 0 else ["(a label that no head has)"]


def in_words(value: Any, score: float | None, decision: str | None = None) -> str:
    """Return a value with its score 0..1 and decision for people; without a score it is unknown."""
    if score is None:
        return "unknown"
    said = " ".join([*([] if value is None else [" > ".join(as_levels(value))]), f"{score:.2f}"])
    return f"{said} ({decision})" if decision else said


def as_levels(label: Any) -> list[str]:
    """Return a label as the levels that a page shows: those of a path, the label itself, or what None stands for."""
    if isinstance(label, list | tuple):
        return [str(level) for level in label]
    return ["not present" if label is None else str(label)]
