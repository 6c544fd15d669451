"""The heads' answers to the test listings, as they will serve: what every task's report has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.guarantee import AutoCell, auto_cell, auto_promises_broken
from ecclip.tasks.heads.calibration import Calibration
from ecclip.tasks.heads.fitting import Trained, train_heads
from ecclip.tasks.heads.matrix import MODALITIES, Head
from ecclip.tasks.kinds import Target, Task, true_paths
from ecclip.tasks.kinds.task import NO_LABEL, as_levels
from ecclip.tasks.levels import LEAF, Levels
from ecclip.tasks.operating_point import OperatingPoint
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.metrics import (
    Bin,
    Bootstrap,
    calibration_error,
    reliability,
)
from ecclip.tasks.rows import Rows
from ecclip.tasks.scores import answered, is_auto, probabilities

ZERO_SHOT_ACCURACY = "zero_shot_accuracy"  # of options that a file names, where specs state one of them


@dataclass(frozen=True)
class Decided:
    """Which answers [M] are `auto`, at which level (:mod:`ecclip.tasks.levels`), and whether they are right there.

    ``right`` says nothing of an answer that did not back off.
    """

    auto: np.ndarray
    level: np.ndarray
    right: np.ndarray

    def part(self, places: np.ndarray) -> Decided:
        """Return the decisions at some ``places`` [K]."""
        return Decided(self.auto[places], self.level[places], self.right[places])


@dataclass(frozen=True)
class ScoredHead:
    """Answers to the test listings of one head and modality: ``rows`` [M] of the snapshot, scores [M, C], truth [M]."""

    target: Target
    modality: str
    rows: np.ndarray
    scores: np.ndarray
    scores_before: np.ndarray  # as fitted
    truth: np.ndarray
    thresholds: np.ndarray  # by class [C], of a flag for no and yes
    decided: Decided | None = None  # where that was not by the thresholds of its classes alone
    point: OperatingPoint | None = None  # of a flag: from where on the answer is yes

    @property
    def prefix(self) -> str:
        """Return ``<head>/<modality>``."""
        return f"{self.target.name}/{self.modality}"

    @property
    def answer(self) -> np.ndarray:
        """Return the class answered [M]; of a flag 1 or 0, at its operating point where it has one."""
        if self.point is not None:
            return (self.scores[:, 0] >= self.point.score).astype(np.int64)
        return answered(self.scores, self.target.loss)

    @property
    def auto(self) -> np.ndarray:
        """Return bool [M]: which answers need no review."""
        return self.decisions.auto

    @property
    def decisions(self) -> Decided:
        """Return which answers are `auto`, and at which level."""
        if self.decided is not None:
            return self.decided
        auto = is_auto(self.scores, self.thresholds, self.target.loss)
        return Decided(auto, np.full(len(auto), LEAF), np.zeros(len(auto), dtype=bool))

    @property
    def right_as_decided(self) -> np.ndarray:
        """Return bool [M]: which answers are right, those that backed off as far as they go."""
        found = self.decisions
        return np.where(found.level == LEAF, self.answer == self.truth, found.right)

    def in_words(self, number: int) -> list[str]:
        """Return a class for people, level by level; of a flag yes or no."""
        if self.target.loss == "sigmoid":
            return ["yes" if number else "no"]
        return as_levels(self.target.labels[number])

    def part(self, places: np.ndarray) -> ScoredHead:
        """Return the answers at some ``places`` [K]."""
        return replace(
            self,
            rows=self.rows[places],
            scores=self.scores[places],
            scores_before=self.scores_before[places],
            truth=self.truth[places],
            decided=None if self.decided is None else self.decided.part(places),
        )


def score_heads(
    rows: Rows, targets: Sequence[Target], trained: Trained, logits: Mapping[str, np.ndarray]
) -> dict[str, ScoredHead]:
    """Return the answers of all heads to the labelled test listings, by ``<head>/<modality>``.

    ``logits`` [T, C] are those of the heads to all test listings, by modality.
    """
    scored = [
        score_head(rows, target, head, trained, logits[modality], modality)
        for modality in MODALITIES
        for target, head in zip(targets, trained.heads.parts, strict=True)
    ]
    return {one.prefix: one for one in scored}


def score_head(
    rows: Rows,
    target: Target,
    head: Head,
    trained: Trained,
    logits: np.ndarray,
    modality: str,
) -> ScoredHead:
    """Pick the labelled test listings of a modality; ``logits`` [T, C] are those of the heads to all test listings."""
    test = rows.split == "test"
    chosen = rows.sample(np.flatnonzero(test & rows.has(modality) & (target.y != NO_LABEL)), len(target.labels))
    part = logits[np.searchsorted(np.flatnonzero(test), chosen), head.start : head.stop].astype(np.float64)
    before = trained.calibrations.get((target.name, modality), Calibration()).undo(part)
    found = ScoredHead(
        target,
        modality,
        chosen,
        probabilities(part, target.loss),
        probabilities(before, target.loss),
        target.y[chosen],
        trained.heads.class_thresholds_of(head, modality),
        point=trained.heads.point_of(head, modality),
    )
    levels, paths = trained.heads.level_thresholds_of(head.name, modality), true_paths(target, rows)
    return replace(found, decided=_backed_off(found, levels, paths)) if levels and paths is not None else found


def _backed_off(scored: ScoredHead, thresholds: Mapping[int, float], paths: Sequence[Any]) -> Decided:
    """Return the decisions where an answer backs off to the levels of ``thresholds``; ``paths`` [N] are true ones."""
    levels, truths = Levels(scored.target.labels), [paths[row] for row in scored.rows]
    found = levels.back_off(scored.scores, scored.auto, thresholds)
    right = np.zeros(len(scored.rows), dtype=bool)
    for level in sorted({*found.level.tolist()} - {LEAF}):
        right |= (found.level == level) & (found.place == levels.places(truths, level))
    return Decided(scored.auto | (found.level != LEAF), found.level, right)


def report_tasks(
    tasks: Sequence[Task],
    rows: Rows,
    targets: list[Target],
    trained: Trained,
    cfg: EvaluateConfig,
    findings: Findings,
) -> dict[str, ScoredHead]:
    """Add the metrics of every task from every modality; return the answers by ``<head>/<modality>``."""
    found = score_heads(rows, targets, trained, logits_of(rows, trained))
    report_answers(tasks, found, rows, trained, cfg, findings)
    return found


def report_answers(
    tasks: Sequence[Task],
    found: Mapping[str, ScoredHead],
    rows: Rows,
    trained: Trained,
    cfg: EvaluateConfig,
    findings: Findings,
) -> None:
    """Add the metrics of answers by ``<head>/<modality>``."""
    for modality in MODALITIES:
        for task in tasks:
            scored = [one for one in found.values() if (one.target.task, one.modality) == (task.name, modality)]
            for one in scored:
                report_head(task, one, rows, trained, cfg, findings)
            task.report_together(scored, rows, modality, cfg, findings)


def logits_of(rows: Rows, trained: Trained) -> dict[str, np.ndarray]:
    """Return the logits [T, C] of the test listings by modality."""
    test = rows.split == "test"
    image, text = (one[test] for one in rows.inputs(features=trained.heads.read_features))
    return {modality: trained.heads.logits(image, text, modality) for modality in MODALITIES}


def report_head(
    task: Task, scored: ScoredHead, rows: Rows, trained: Trained, cfg: EvaluateConfig, findings: Findings
) -> None:
    """Add ``<head>/<modality>/*`` of one head of a task, or the reason why there is nothing."""
    findings.rows[f"{scored.prefix}/test"] = len(scored.rows)
    is_given = scored.target.loss == "softmax" and trained.heads.is_zero_shot(scored.target.name, scored.modality)
    if is_given and len(scored.rows):
        _zero_shot(scored, rows, cfg, findings)
        return
    reason = trained.untrained.get(scored.prefix) or ("" if len(scored.rows) else "no labelled test listing")
    if reason:
        findings.add_missing(scored.prefix, reason)
        return
    resample = Bootstrap(rows.groups[scored.rows], cfg.bootstrap_rounds, cfg.seed)
    task.report(scored, rows, resample, cfg, findings)
    _scores(scored, rows.groups[scored.rows], cfg, findings)


def _zero_shot(scored: ScoredHead, rows: Rows, cfg: EvaluateConfig, findings: Findings) -> None:
    """Add how often options that nothing was learnt for are right, by a name that no learnt head's figure has."""
    right = (scored.answer == scored.truth).astype(np.float64)
    resample = Bootstrap(rows.groups[scored.rows], cfg.bootstrap_rounds, cfg.seed)
    findings.add(f"{scored.prefix}/{ZERO_SHOT_ACCURACY}", float(right.mean()), resample.mean(right))


def _scores(scored: ScoredHead, groups: np.ndarray, cfg: EvaluateConfig, findings: Findings) -> None:
    """Calibration as fitted and as kept, and what `auto` brings."""
    for name, scores in (("ece_before", scored.scores_before), ("ece", scored.scores)):
        sure, correct = _calibrated_pairs(scored, scores)
        findings.add(f"{scored.prefix}/{name}", calibration_error(sure, correct, cfg.calibration.bins))
    _auto(scored, groups, cfg, findings)


def _auto(scored: ScoredHead, groups: np.ndarray, cfg: EvaluateConfig, findings: Findings) -> None:
    """Coverage and precision of `auto` answers beside the promise; ``groups`` [M] are those of the answers."""
    cell = auto_cell(scored.right_as_decided, scored.auto, groups, cfg.auto.precision)
    findings.add_auto(scored.prefix, cell)
    if not cell.auto:
        findings.add_missing(f"{scored.prefix}/auto_precision", "no test answer reaches the threshold of auto")


def _calibrated_pairs(scored: ScoredHead, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what should agree: the score of the answer and being right; of a flag its score and the flag."""
    if scored.target.loss == "sigmoid":
        return scores[:, 0], scored.truth == 1
    return scores.max(axis=1), scored.answer == scored.truth


def reliability_of(scored: ScoredHead, cfg: EvaluateConfig) -> dict[str, list[Bin]]:
    """Return the bars of the reliability diagram before and after calibration."""
    return {
        "before": reliability(*_calibrated_pairs(scored, scored.scores_before), cfg.calibration.bins),
        "after": reliability(*_calibrated_pairs(scored, scored.scores), cfg.calibration.bins),
    }


def auto_cells(scored: Mapping[str, ScoredHead], rows: Rows, cfg: EvaluateConfig) -> dict[str, AutoCell]:
    """Return what `auto` brings by ``<head>/<modality>``."""
    return {
        name: auto_cell(one.right_as_decided, one.auto, rows.groups[one.rows], cfg.auto.precision)
        for name, one in scored.items()
    }


def measure_auto(rows: Rows, targets: Sequence[Target], cfg: EvaluateConfig) -> dict[str, AutoCell]:
    """Train heads and thresholds as ``evaluate`` does; return what `auto` brings by ``<head>/<modality>``."""
    trained = train_heads(rows, list(targets), cfg)
    scored = score_heads(rows, targets, trained, logits_of(rows, trained))
    return auto_cells({name: one for name, one in scored.items() if name not in trained.untrained}, rows, cfg)


def auto_table(cells: Mapping[str, AutoCell]) -> dict[str, Any]:
    """Return what the page shows of them: a line per head, and the cells whose promise the test listings refute."""
    heads = dict.fromkeys(name.rpartition("/")[0] for name in cells)
    lines = [{"name": head, "cells": [cells[f"{head}/{modality}"] for modality in MODALITIES]} for head in heads]
    return {"lines": lines, "broken": auto_promises_broken(cells)}
