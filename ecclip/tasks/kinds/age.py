"""Age restriction: whether a listing may be shown to adults only, with room for the classes of a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecclip.tasks.kinds.task import NO_LABEL, HeadScores, Limit, Query, Target, Task, in_words
from ecclip.tasks.scores import plain

if TYPE_CHECKING:
    from ecclip.tasks.config import EvaluateConfig
    from ecclip.tasks.report.classes import ScoredHead
    from ecclip.tasks.report.findings import Findings
    from ecclip.tasks.report.metrics import Bootstrap
    from ecclip.tasks.rows import Rows


class AgeRestricted(Task):
    """One yes/no head on the dump's flag. The policy has one class today, named like the task."""

    name = "age_restricted"
    title = "Age restriction"
    columns = ("age_restricted",)
    outputs = ("AGE_RESTRICTED_SCORE", "AGE_CLASS", "AGE_CLASS_SCORE")
    # by judgment: a flag that misses every other restricted listing is no protection
    gate: ClassVar = {"both/recall": Limit(floor=0.5), "text/recall": Limit(floor=0.4)}
    headline = (("average precision", "average_precision"),)
    details = (
        ("flagged, of those that carry the flag", "recall"),
        ("recall at the wanted precision", "recall_at_precision"),
        *Task.details[1:],
    )
    note = "The flag is rare: for a decision without review both sides count the same."

    def targets(self, rows: Rows, cfg: EvaluateConfig) -> list[Target]:
        """Return the only target, even where no listing has the flag: then its answer is unknown."""
        y = [NO_LABEL if flag is None else int(flag) for flag in rows.given["age_restricted"]]
        return [Target(self.name, self.name, "sigmoid", [self.name], np.array(y, dtype=np.int64))]

    def answer(self, heads: Sequence[HeadScores], query: Query, top_k: int) -> dict[str, Any]:
        """Return the probability of each class of the policy and that of any, None where it is unknown."""
        found = {head.name: None if head.scores is None else plain(head.scores[0]) for head in heads}
        known = [score for score in found.values() if score is not None]
        return {
            "AGE_RESTRICTED_SCORE": max(known, default=None),
            "AGE_CLASS": list(found),
            "AGE_CLASS_SCORE": list(found.values()),
        }

    def in_words(self, outputs: Mapping[str, Any]) -> str:
        """Return the probability of any class of the policy."""
        return in_words(None, outputs["AGE_RESTRICTED_SCORE"], outputs["DECISION"].get(self.name))

    def report(
        self, scored: ScoredHead, rows: Rows, resample: Bootstrap, cfg: EvaluateConfig, findings: Findings
    ) -> None:
        """Add average precision, how many of the restricted listings are flagged, and how many at `auto.precision`."""
        from ecclip.tasks.report.metrics import average_precision, interval, recall_at

        truth, scores = scored.truth.astype(np.float64), scored.scores[:, 0]
        findings.rows[f"{scored.prefix}/test_positives"] = int(truth.sum())
        if not truth.any():
            findings.add_missing(f"{scored.prefix}/average_precision", "no test listing is age restricted")
            return
        found = average_precision(truth, scores)
        findings.add(f"{scored.prefix}/average_precision", found, interval(resample.average_precisions(truth, scores)))
        flagged = (scored.answer == 1).astype(np.float64)
        value = float((flagged * truth).sum() / truth.sum())
        findings.add(f"{scored.prefix}/recall", value, resample.ratio(flagged * truth, truth))
        findings.add(f"{scored.prefix}/recall_at_precision", recall_at(truth, scores, cfg.auto.precision))


TASK = AgeRestricted()
