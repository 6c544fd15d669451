"""Age restriction: whether a listing may be shown to adults only, and by which classes of the policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecclip.tasks.kinds.task import NO_LABEL, HeadScores, Limit, Query, Target, Task, in_words
from ecclip.tasks.scores import plain

if TYPE_CHECKING:
    from ecclip.formats.policies.age import EmbeddedPolicy
    from ecclip.tasks.config import EvaluateConfig
    from ecclip.tasks.report.classes import ScoredHead
    from ecclip.tasks.report.findings import Findings
    from ecclip.tasks.report.metrics import Bootstrap
    from ecclip.tasks.rows import Rows

LABELS, ZERO_SHOT, UNKNOWN = "labels", "zero_shot", "unknown"  # what the score of a class rests on


class AgeRestricted(Task):
    """One yes/no head on the dump's flag, named like the task, and one per class of the policy, ``age:<class>``.

    A class that has labels flags a listing at and above its operating point; one without says by its description what
    people should look at, and decides nothing.
    """

    name = "age_restricted"
    title = "Age restriction"
    columns = ("age_restricted", "attributes", "category")
    outputs = ("AGE_RESTRICTED", "AGE_RESTRICTED_SCORE", "AGE_CLASS", "AGE_CLASS_SCORE", "AGE_CLASS_BASIS")
    # by judgment: a flag that misses every other restricted listing is no protection
    gate: ClassVar = {"both/recall": Limit(floor=0.5), "text/recall": Limit(floor=0.4)}
    more_heads = "age:*"
    headline = (("average precision", "average_precision"),)
    details = (
        ("flagged, of those that carry the flag", "recall"),
        ("flagged, of those that do not", "false_positive_rate"),
        ("the same as validation bounds it, at most", "false_positive_rate_at_most"),
        ("recall at the wanted precision", "recall_at_precision"),
        *Task.details[1:],
    )
    note = (
        "The flag is rare: for a decision without review both sides count the same. A listing is flagged at and above "
        "the operating point, which the policy's false-positive rate decides on validation."
    )

    def targets(self, rows: Rows, cfg: EvaluateConfig) -> list[Target]:
        """Return the flag's target, even where no listing has it, and one per class of the policy."""
        policy = rows.policy
        rate = 0.0 if policy is None else policy.policy.false_positive_rate
        flag = Target(self.name, self.name, "sigmoid", [self.name], _numbers(rows.given["age_restricted"]), rate=rate)
        return [flag, *([] if policy is None else self._classes(policy, rows))]

    def _classes(self, embedded: EmbeddedPolicy, rows: Rows) -> list[Target]:
        return [
            Target(
                self.name,
                one.head,
                "sigmoid",
                [one.name],
                _numbers(embedded.policy.labels(one, rows.given)),
                rate=one.false_positive_rate,
                described=(embedded.embeddings[place : place + 1], embedded.features[place : place + 1]),
            )
            for place, one in enumerate(embedded.policy.classes)
        ]

    def answer(self, heads: Sequence[HeadScores], query: Query, top_k: int) -> dict[str, Any]:
        """Return the score of each class and what it rests on, the largest learnt one, and what follows.

        ``AGE_RESTRICTED`` holds ``restricted`` (any learnt class at or above its point; None: no class is known), the
        ``classes`` that say so, the ``suspected`` ones of descriptions alone, and the largest ``minimum_age`` of
        ``classes``.
        """
        known = [head for head in heads if head.scores is not None and not head.zero_shot]
        flagged = [head for head in known if head.flagged]
        ages = [head.minimum_age for head in flagged if head.minimum_age is not None]
        return {
            "AGE_RESTRICTED": {
                "restricted": bool(flagged) if known else None,
                "classes": [str(head.labels[0]) for head in flagged],
                "suspected": [str(head.labels[0]) for head in heads if head.zero_shot and head.flagged],
                "minimum_age": max(ages, default=None),
            },
            "AGE_RESTRICTED_SCORE": max((_score(head) for head in known), default=None),
            "AGE_CLASS": [str(head.labels[0]) for head in heads],
            "AGE_CLASS_SCORE": [None if head.scores is None else _score(head) for head in heads],
            "AGE_CLASS_BASIS": [_basis(head) for head in heads],
        }

    def in_words(self, outputs: Mapping[str, Any]) -> str:
        """Return the largest score of a learnt class, the classes that flag the listing, and those that suspect it."""
        found = outputs.get("AGE_RESTRICTED") or {}
        classes = [name for name in found.get("classes", ()) if name != self.name]
        value = ", ".join(classes) or None
        said = in_words(value, outputs["AGE_RESTRICTED_SCORE"], outputs["DECISION"].get(self.name))
        suspected = ", ".join(found.get("suspected", ()))
        return f"{said}; zero-shot: {suspected}" if suspected else said

    def report(
        self, scored: ScoredHead, rows: Rows, resample: Bootstrap, cfg: EvaluateConfig, findings: Findings
    ) -> None:
        """Add average precision, recall and false-positive rate at the operating point, and recall at `auto.precision`.

        Of the point itself: the bound of its false-positive rate on validation, where that could be measured.
        """
        from ecclip.tasks.report.metrics import average_precision, interval, recall_at

        truth, scores = scored.truth.astype(np.float64), scored.scores[:, 0]
        flagged = (scored.answer == 1).astype(np.float64)
        findings.rows[f"{scored.prefix}/test_positives"] = int(truth.sum())
        self._report_point(scored, flagged, truth, resample, findings)
        if not truth.any():
            findings.add_missing(f"{scored.prefix}/average_precision", "not measured: no test listing is of this class")
            return
        found = average_precision(truth, scores)
        findings.add(f"{scored.prefix}/average_precision", found, interval(resample.average_precisions(truth, scores)))
        value = float((flagged * truth).sum() / truth.sum())
        findings.add(f"{scored.prefix}/recall", value, resample.ratio(flagged * truth, truth))
        findings.add(f"{scored.prefix}/recall_at_precision", recall_at(truth, scores, cfg.auto.precision))

    def _report_point(
        self, scored: ScoredHead, flagged: np.ndarray, truth: np.ndarray, resample: Bootstrap, findings: Findings
    ) -> None:
        negative = 1.0 - truth
        if negative.any():
            value = float((flagged * negative).sum() / negative.sum())
            findings.add(f"{scored.prefix}/false_positive_rate", value, resample.ratio(flagged * negative, negative))
        name = f"{scored.prefix}/false_positive_rate_at_most"
        point = scored.point
        if point is None:  # of a bundle without a policy: an even chance
            return
        if point.at_most is None or not point.measured:
            few = f"fewer than {1 / point.rate:.0f} negatives on validation"
            findings.add_missing(name, f"the operating point is an even chance: {few}")
        else:
            findings.add(name, point.at_most)
            findings.add(f"{scored.prefix}/operating_point", point.score)


def _numbers(flags: Sequence[bool | None]) -> np.ndarray:
    return np.array([NO_LABEL if flag is None else int(flag) for flag in flags], dtype=np.int64)


def _score(head: HeadScores) -> float:
    assert head.scores is not None
    return plain(head.scores[0])


def _basis(head: HeadScores) -> str:
    return ZERO_SHOT if head.zero_shot else UNKNOWN if head.scores is None else LABELS


TASK = AgeRestricted()
