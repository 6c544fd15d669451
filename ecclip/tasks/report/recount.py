"""Heads asked once more about the test listings that a bundle keeps: their metrics, and how others compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.formats.bundle import HEADS
from ecclip.formats.report import Comparison, Rescored
from ecclip.tasks.config import AutoConfig, EvaluateConfig
from ecclip.tasks.heads.fitting import Trained
from ecclip.tasks.heads.matrix import MODALITIES, Heads, load_heads
from ecclip.tasks.kinds import TASKS, Target
from ecclip.tasks.kinds.task import NO_LABEL, OUTSIDE
from ecclip.tasks.report.classes import ScoredHead, report_answers, report_tasks, score_heads
from ecclip.tasks.report.common import in_common
from ecclip.tasks.report.evidence import FROZEN_LOGITS, parts_of, read_evidence, rows_of, targets_of
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.frozen import answered
from ecclip.tasks.report.paired import compare_cells
from ecclip.tasks.rows import Rows

_FEW_ROUNDS = EvaluateConfig(bootstrap_rounds=20)  # where the intervals are not looked at
_ROUNDS = EvaluateConfig()


class Measured:
    """A bundle, and what it answers to the test listings that it keeps: asked once, however many it is compared with.

    Args:
        folder: the bundle, or what ``evaluate`` writes of it.

    Raises:
        IntegrityError: heads or evidence cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.heads, self.evidence = load_heads(folder / HEADS), read_evidence(folder)
        self.rows = rows_of(self.evidence, self.heads.dim)
        self.findings, self.scored = _measure(self.heads, self.rows, targets_of(self.heads, self.evidence))

    @property
    def listing_ids(self) -> list[str]:
        """The test listings kept, in order."""
        found: list[str] = self.evidence["listing_ids"].tolist()
        return found

    @cached_property
    def beside_frozen(self) -> dict[str, Comparison]:
        """The comparison with the frozen start by cell and part of the catalog, as far as its answers were kept."""
        if FROZEN_LOGITS not in self.evidence:
            return {}
        logits = {name: self.evidence[FROZEN_LOGITS][:, place] for place, name in enumerate(MODALITIES)}
        targets = targets_of(self.heads, self.evidence)
        trained = _as_trained(self.heads)
        return self._compare(self.scored, answered(score_heads(self.rows, targets, trained, logits), trained))

    def beside(self, other: Path, image: np.ndarray, text: np.ndarray) -> Rescored:
        """Return this bundle beside another one; where their labels differ both are asked in classes that both know.

        Args:
            other: the other bundle.
            image: what its heads read of the photos, float32 [n, i] in the order of the listings kept, NaN without one.
            text: the same of the titles, float32 [n, t].

        Raises:
            IntegrityError: its heads cannot be read.
        """
        others = load_heads(other / HEADS)
        read = rows_of({**self.evidence, "image": image, "text": text}, others.dim)
        theirs, answers = _measure(others, read, _renumbered(others, self.heads, self.evidence))
        common = in_common(self.heads, others, self.scored, answers, self.rows)
        rows = {name: len(one.rows) for name, one in common.ours.items() if one.target.name in common.changed}
        return Rescored(
            ours=_in_common(self.findings, common.ours, common.concerned, self.heads, self.rows),
            theirs=_in_common(theirs, common.theirs, common.concerned, others, read),
            cells=self._compare(common.ours, common.theirs),
            labels=common.changed,
            rows={f"{name}/test": count for name, count in rows.items()},
        )

    def _compare(self, ours: Mapping[str, ScoredHead], other: Mapping[str, ScoredHead]) -> dict[str, Comparison]:
        return compare_cells(TASKS, ours, other, self.rows.groups, _ROUNDS, parts_of(self.evidence))


def _measure(heads: Heads, rows: Rows, targets: list[Target]) -> tuple[Findings, dict[str, ScoredHead]]:
    """Return the metrics of heads on listings, and their answers by ``<head>/<modality>``.

    ``rows`` have what these heads read, and ``targets`` the truth in their class numbers.
    """
    findings = Findings()
    trained = _as_trained(heads)
    return findings, answered(report_tasks(TASKS, rows, targets, trained, _config(heads), findings), trained)


def _in_common(
    own: Findings, scored: Mapping[str, ScoredHead], concerned: frozenset[str], heads: Heads, rows: Rows
) -> dict[str, float]:
    """Return metrics: of heads and tasks that are ``concerned`` by answers in common classes, of others as they are.

    How far down a path is right needs no common classes: each path is compared with the true one, level by level.
    """
    if not concerned:
        return own.metrics
    findings, named = Findings(), tuple(f"{name}/" for name in concerned)
    report_answers(TASKS, scored, rows, _as_trained(heads), _config(heads), findings)

    def is_asked(name: str) -> bool:
        return name.startswith(named) and not name.rpartition("/")[2].startswith("level")

    kept = {name: value for name, value in own.metrics.items() if not is_asked(name)}
    return kept | {name: value for name, value in findings.metrics.items() if is_asked(name)}


def _config(heads: Heads) -> EvaluateConfig:
    return _FEW_ROUNDS.model_copy(update={"auto": AutoConfig(precision=heads.promise)})


def _as_trained(heads: Heads) -> Trained:
    """Return heads as they were read: of calibrations nothing is known, and of what was not trained only that."""
    names = {head.name for head in heads.parts}
    untrained = {f"{name}/{one}": "no labels" for name in names for one in heads.without_answer(name)}
    return Trained(heads, {}, untrained)


def _renumbered(others: Heads, heads: Heads, evidence: Mapping[str, np.ndarray]) -> list[Target]:
    """Return the truth in the class numbers of other heads; a label that they do not know is OUTSIDE.

    A label that the bundle's own heads do not know is one that both answer wrongly.
    """
    own = {target.name: target for target in targets_of(heads, evidence)}
    found = []
    for head in others.parts:
        target = own.get(head.name)
        y = np.full(len(evidence["listing_ids"]), NO_LABEL) if target is None else _in_numbers_of(head.labels, target)
        found.append(Target(head.task, head.name, head.loss, head.labels, y))
    return found


def _in_numbers_of(labels: list[Any], target: Target) -> np.ndarray:
    if target.loss == "sigmoid":
        return target.y
    place = {json.dumps(label): number for number, label in enumerate(labels)}
    numbers = np.array([place.get(json.dumps(label), OUTSIDE) for label in target.labels], dtype=np.int64)
    return np.where(target.y >= 0, numbers[np.maximum(target.y, 0)], target.y)
