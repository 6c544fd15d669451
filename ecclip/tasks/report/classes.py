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
class Judged:
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


def judge_task(
    rows: Rows, target: Target, task: HeadTask, trained: Trained, logits: np.ndarray, modality: str
) -> Judged:
    """Pick the labelled test listings of a modality; ``logits`` [N, C] are those of the heads."""
    chosen = np.flatnonzero((rows.split == "test") & rows.has(modality) & (target.y != UNKNOWN))
    part = logits[chosen][:, task.start : task.stop].astype(np.float64)
    before = part * trained.temperatures[target.name][modality]
    return Judged(
        target,
        modality,
        chosen,
        probabilities(part, target.kind),
        probabilities(before, target.kind),
        target.y[chosen],
        trained.heads.thresholds[target.name][modality],
    )


def report_task(judged: Judged, rows: Rows, trained: Trained, cfg: EvaluateConfig, findings: Findings) -> None:
    """Add ``<task>/<modality>/*`` of one task, or the reason why there is nothing."""
    findings.rows[f"{judged.prefix}/test"] = len(judged.rows)
    reason = trained.untrained.get(judged.prefix) or ("" if len(judged.rows) else "no labelled test listing")
    if reason:
        findings.lack(judged.prefix, reason)
        return
    resample = Bootstrap(rows.groups[judged.rows], cfg.bootstrap_rounds, cfg.seed)
    if judged.target.name == AGE_RESTRICTED:
        _flag(judged, resample, cfg, findings)
    else:
        _classes(judged, resample, findings)
    if judged.target.name == CATEGORY:
        _paths(judged, rows, resample, findings)
        _slices(judged, rows, findings)
    _scores(judged, cfg, findings)


def _classes(judged: Judged, resample: Bootstrap, findings: Findings) -> None:
    right = (judged.answer == judged.truth).astype(np.float64)
    name = "top1" if judged.target.name == CATEGORY else "accuracy"
    findings.add(f"{judged.prefix}/{name}", float(right.mean()), resample.mean(right))
    truth, answer = judged.truth, judged.answer
    interval = resample.weighted(macro_f1, truth, answer)
    findings.add(f"{judged.prefix}/macro_f1", macro_f1(truth, answer), interval)


def _paths(judged: Judged, rows: Rows, resample: Bootstrap, findings: Findings) -> None:
    """Top five, and whether the answer is right down to a level; asked where the truth reaches that level."""
    first = np.array([best(row, 5) for row in judged.scores])
    among = (first == judged.truth[:, None]).any(axis=1).astype(np.float64)
    findings.add(f"{judged.prefix}/top5", float(among.mean()), resample.mean(among))
    truths = [rows.categories[index] or () for index in judged.rows]
    answers = [tuple(judged.target.labels[index]) for index in judged.answer]
    for level in range(1, max(map(len, truths)) + 1):
        right = [
            answer[:level] == truth[:level]
            for answer, truth in zip(answers, truths, strict=True)
            if len(truth) >= level
        ]
        findings.add(f"{judged.prefix}/level{level}", float(np.mean(right)))


def _flag(judged: Judged, resample: Bootstrap, cfg: EvaluateConfig, findings: Findings) -> None:
    truth, scores = judged.truth.astype(np.float64), judged.scores[:, 0]
    findings.rows[f"{judged.prefix}/test_positives"] = int(truth.sum())
    if not truth.any():
        findings.lack(f"{judged.prefix}/average_precision", "no test listing is age restricted")
        return
    interval = resample.weighted(average_precision, truth, scores)
    findings.add(f"{judged.prefix}/average_precision", average_precision(truth, scores), interval)
    findings.add(f"{judged.prefix}/recall_at_precision", recall_at(truth, scores, cfg.auto_precision))


def _scores(judged: Judged, cfg: EvaluateConfig, findings: Findings) -> None:
    """Calibration before and after the temperature, and what the threshold of `auto` brings."""
    right = judged.answer == judged.truth
    for name, scores in (("ece_before", judged.scores_before), ("ece", judged.scores)):
        sure, correct = _calibrated_pairs(judged, scores)
        findings.add(f"{judged.prefix}/{name}", calibration_error(sure, correct, cfg.calibration_bins))
    auto = confidence(judged.scores, judged.target.kind) >= judged.threshold
    findings.add(f"{judged.prefix}/auto_coverage", float(auto.mean()))
    if auto.any():
        findings.add(f"{judged.prefix}/auto_precision", float(right[auto].mean()))
    else:
        findings.lack(f"{judged.prefix}/auto_precision", "no test answer reaches the threshold of auto")


def _calibrated_pairs(judged: Judged, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what should agree: the score of the answer and being right; of a flag its score and the flag."""
    if judged.target.kind == "sigmoid":
        return scores[:, 0], judged.truth == 1
    return scores.max(axis=1), judged.answer == judged.truth


def reliability_of(judged: Judged, cfg: EvaluateConfig) -> dict[str, list[Bin]]:
    """Return the bars of the reliability diagram before and after calibration."""
    return {
        "before": reliability(*_calibrated_pairs(judged, judged.scores_before), cfg.calibration_bins),
        "after": reliability(*_calibrated_pairs(judged, judged.scores), cfg.calibration_bins),
    }


def _slices(judged: Judged, rows: Rows, findings: Findings) -> None:
    """Top1 by root category and by script of the title, where there are enough listings to say something."""
    right = judged.answer == judged.truth
    members: dict[str, list[int]] = {}
    for place, index in enumerate(judged.rows):
        path = rows.categories[index] or ("",)
        script = "Hangul" if _HANGUL.search(rows.titles[index]) else "other"
        members.setdefault(f"root: {path[0]}", []).append(place)
        members.setdefault(f"title script: {script}", []).append(place)
    findings.slices[f"{judged.prefix}/top1"] = {
        name: {"value": round(float(right[places].mean()), 6), "rows": len(places)}
        for name, places in sorted(members.items())
        if len(places) >= MIN_SLICE_ROWS
    }


def report_attributes(judged: list[Judged], rows: Rows, modality: str, cfg: EvaluateConfig, findings: Findings) -> None:
    """Add ``attributes/<modality>/*``: all attribute heads together, every (listing, attribute) one answer."""
    parts = [entry for entry in judged if len(entry.rows) and f"{entry.prefix}/accuracy" in findings.metrics]
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


def _is_present(entry: Judged) -> np.ndarray:
    absent = [index for index, label in enumerate(entry.target.labels) if label is None]
    return ~np.isin(entry.truth, absent)
