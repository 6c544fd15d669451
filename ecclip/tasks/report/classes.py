"""Category, attributes and age restriction on the test split, as they will serve."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.decision import AGE_RESTRICTED, CATEGORY, best, confidence, probabilities
from ecclip.tasks.heads.fitting import Trained
from ecclip.tasks.heads.matrix import HeadTask
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.metrics import (
    Bin,
    Bootstrap,
    average_precision,
    calibration_error,
    macro_f1,
    recall_at,
    reliability,
)
from ecclip.tasks.rows import Rows
from ecclip.tasks.targets import UNKNOWN, Target

_HANGUL = re.compile("[가-힣ㄱ-ㅎㅏ-ㅣ]")
MIN_SLICE_ROWS = 10


@dataclass(frozen=True)
class ScoredTask:
    """Answers to the test listings of one task and modality: ``rows`` [M] of the snapshot, scores [M, C], truth [M]."""

    target: Target
    modality: str
    rows: np.ndarray
    scores: np.ndarray
    scores_before: np.ndarray  # without temperature
    truth: np.ndarray
    threshold: float

    @property
    def prefix(self) -> str:
        """Return ``<task>/<modality>``."""
        return f"{self.target.name}/{self.modality}"

    @property
    def answer(self) -> np.ndarray:
        """Return the class answered [M]; of a flag 1 or 0."""
        if self.target.kind == "sigmoid":
            return (self.scores[:, 0] >= 0.5).astype(np.int64)
        return self.scores.argmax(axis=1)


def score_task(
    rows: Rows, target: Target, task: HeadTask, trained: Trained, logits: np.ndarray, modality: str
) -> ScoredTask:
    """Pick the labelled test listings of a modality; ``logits`` [N, C] are those of the heads."""
    chosen = np.flatnonzero((rows.split == "test") & rows.has(modality) & (target.y != UNKNOWN))
    part = logits[chosen][:, task.start : task.stop].astype(np.float64)
    before = part * trained.temperatures[target.name][modality]
    return ScoredTask(
        target,
        modality,
        chosen,
        probabilities(part, target.kind),
        probabilities(before, target.kind),
        target.y[chosen],
        trained.heads.thresholds[target.name][modality],
    )


def report_task(scored: ScoredTask, rows: Rows, trained: Trained, cfg: EvaluateConfig, findings: Findings) -> None:
    """Add ``<task>/<modality>/*`` of one task, or the reason why there is nothing."""
    findings.rows[f"{scored.prefix}/test"] = len(scored.rows)
    reason = trained.untrained.get(scored.prefix) or ("" if len(scored.rows) else "no labelled test listing")
    if reason:
        findings.lack(scored.prefix, reason)
        return
    resample = Bootstrap(rows.groups[scored.rows], cfg.bootstrap_rounds, cfg.seed)
    if scored.target.name == AGE_RESTRICTED:
        _flag(scored, resample, cfg, findings)
    else:
        _classes(scored, resample, findings)
    if scored.target.name == CATEGORY:
        _paths(scored, rows, resample, findings)
        _slices(scored, rows, findings)
    _scores(scored, cfg, findings)


def _classes(scored: ScoredTask, resample: Bootstrap, findings: Findings) -> None:
    right = (scored.answer == scored.truth).astype(np.float64)
    name = "top1" if scored.target.name == CATEGORY else "accuracy"
    findings.add(f"{scored.prefix}/{name}", float(right.mean()), resample.mean(right))
    truth, answer = scored.truth, scored.answer
    interval = resample.weighted(macro_f1, truth, answer)
    findings.add(f"{scored.prefix}/macro_f1", macro_f1(truth, answer), interval)


def _paths(scored: ScoredTask, rows: Rows, resample: Bootstrap, findings: Findings) -> None:
    """Top five, and whether the answer is right down to a level; asked where the truth reaches that level."""
    first = np.array([best(row, 5) for row in scored.scores])
    among = (first == scored.truth[:, None]).any(axis=1).astype(np.float64)
    findings.add(f"{scored.prefix}/top5", float(among.mean()), resample.mean(among))
    truths = [rows.categories[index] or () for index in scored.rows]
    answers = [tuple(scored.target.labels[index]) for index in scored.answer]
    for level in range(1, max(map(len, truths)) + 1):
        right = [
            answer[:level] == truth[:level]
            for answer, truth in zip(answers, truths, strict=True)
            if len(truth) >= level
        ]
        findings.add(f"{scored.prefix}/level{level}", float(np.mean(right)))


def _flag(scored: ScoredTask, resample: Bootstrap, cfg: EvaluateConfig, findings: Findings) -> None:
    truth, scores = scored.truth.astype(np.float64), scored.scores[:, 0]
    findings.rows[f"{scored.prefix}/test_positives"] = int(truth.sum())
    if not truth.any():
        findings.lack(f"{scored.prefix}/average_precision", "no test listing is age restricted")
        return
    interval = resample.weighted(average_precision, truth, scores)
    findings.add(f"{scored.prefix}/average_precision", average_precision(truth, scores), interval)
    findings.add(f"{scored.prefix}/recall_at_precision", recall_at(truth, scores, cfg.auto_precision))


def _scores(scored: ScoredTask, cfg: EvaluateConfig, findings: Findings) -> None:
    """Calibration before and after the temperature, and what the threshold of `auto` brings."""
    right = scored.answer == scored.truth
    for name, scores in (("ece_before", scored.scores_before), ("ece", scored.scores)):
        sure, correct = _calibrated_pairs(scored, scores)
        findings.add(f"{scored.prefix}/{name}", calibration_error(sure, correct, cfg.calibration_bins))
    auto = confidence(scored.scores, scored.target.kind) >= scored.threshold
    findings.add(f"{scored.prefix}/auto_coverage", float(auto.mean()))
    if auto.any():
        findings.add(f"{scored.prefix}/auto_precision", float(right[auto].mean()))
    else:
        findings.lack(f"{scored.prefix}/auto_precision", "no test answer reaches the threshold of auto")


def _calibrated_pairs(scored: ScoredTask, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what should agree: the score of the answer and being right; of a flag its score and the flag."""
    if scored.target.kind == "sigmoid":
        return scores[:, 0], scored.truth == 1
    return scores.max(axis=1), scored.answer == scored.truth


def reliability_of(scored: ScoredTask, cfg: EvaluateConfig) -> dict[str, list[Bin]]:
    """Return the bars of the reliability diagram before and after calibration."""
    return {
        "before": reliability(*_calibrated_pairs(scored, scored.scores_before), cfg.calibration_bins),
        "after": reliability(*_calibrated_pairs(scored, scored.scores), cfg.calibration_bins),
    }


def _slices(scored: ScoredTask, rows: Rows, findings: Findings) -> None:
    """Top1 by root category and by script of the title, where there are enough listings to say something."""
    right = scored.answer == scored.truth
    members: dict[str, list[int]] = {}
    for place, index in enumerate(scored.rows):
        path = rows.categories[index] or ("",)
        script = "Hangul" if _HANGUL.search(rows.titles[index]) else "other"
        members.setdefault(f"root: {path[0]}", []).append(place)
        members.setdefault(f"title script: {script}", []).append(place)
    findings.slices[f"{scored.prefix}/top1"] = {
        name: {"value": round(float(right[places].mean()), 6), "rows": len(places)}
        for name, places in sorted(members.items())
        if len(places) >= MIN_SLICE_ROWS
    }


def report_attributes(
    scored: list[ScoredTask], rows: Rows, modality: str, cfg: EvaluateConfig, findings: Findings
) -> None:
    """Add ``attributes/<modality>/*``: all attribute heads together, every (listing, attribute) one answer."""
    parts = [entry for entry in scored if len(entry.rows) and f"{entry.prefix}/accuracy" in findings.metrics]
    prefix = f"attributes/{modality}"
    if not parts:
        findings.lack(prefix, "no attribute is frequent enough, or no test listing gives one")
        return
    right = np.concatenate([entry.answer == entry.truth for entry in parts]).astype(np.float64)
    present = np.concatenate([_is_present(entry) for entry in parts]).astype(np.float64)
    resample = Bootstrap(np.concatenate([rows.groups[entry.rows] for entry in parts]), cfg.bootstrap_rounds, cfg.seed)
    findings.rows[f"{prefix}/test"] = len(right)
    findings.add(f"{prefix}/accuracy", float(right.mean()), resample.mean(right))
    if present.any():
        value = float((right * present).sum() / present.sum())
        findings.add(f"{prefix}/present_accuracy", value, resample.ratio(right * present, present))
    scores = [findings.metrics[f"{entry.prefix}/macro_f1"] for entry in parts]
    findings.add(f"{prefix}/macro_f1", float(np.mean(scores)))


def _is_present(entry: ScoredTask) -> np.ndarray:
    absent = [index for index, label in enumerate(entry.target.labels) if label is None]
    return ~np.isin(entry.truth, absent)
