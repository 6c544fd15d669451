"""The heads of one target: from the photo, from the title, and from both together."""

from __future__ import annotations

import numpy as np

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.discriminant import fit_discriminant
from ecclip.tasks.heads.fusion import as_it_is, stack
from ecclip.tasks.heads.linear import (
    UNSEEN,
    LinearHead,
    Samples,
    constant_head,
    fit_sigmoid,
    fit_softmax,
    log_loss_of,
)
from ecclip.tasks.heads.reading import Readings
from ecclip.tasks.kinds import Target
from ecclip.tasks.rows import Rows

ONE_LABEL = "all train listings have the same label"


def fit_target(
    readings: Readings, rows: Rows, target: Target, choice: str, cfg: EvaluateConfig
) -> dict[str, tuple[LinearHead, str]]:
    """Return by modality a head of the joined inputs and, where it is a mere constant, the reason."""
    found = {name: _fit_one(readings, rows, target, name, choice, cfg) for name in ("image", "text", "both")}
    if not any(reason for _, reason in found.values()) and cfg.heads.fusion != "joint":
        found["both"] = (_fused(readings, rows, target, {name: head for name, (head, _) in found.items()}, cfg), "")
    return found


def _fit_one(
    readings: Readings, rows: Rows, target: Target, modality: str, choice: str, cfg: EvaluateConfig
) -> tuple[LinearHead, str]:
    reading = readings.of(modality, choice)
    train = _samples(reading.turned, rows, target, modality, "train")
    validation = _samples(reading.turned, rows, target, modality, "validation")
    usable = validation if len(validation.y) >= cfg.calibration.min_rows else None
    reason = _why_untrainable(train.y, target)
    strengths, iterations = cfg.heads.regularisation, cfg.heads.max_iterations
    if not len(train.y):
        head = constant_head(reading.turned.shape[1], np.full(len(target.labels), _without_rows(target)))
    elif target.loss == "sigmoid":
        head = fit_sigmoid(train, usable, strengths, iterations)
    elif len(target.labels) > cfg.heads.discriminant_above:
        head = fit_discriminant(train, usable, target.labels)
    else:
        head = fit_softmax(train, usable, len(target.labels), strengths, iterations)
    return reading.widen(head), reason


def _fused(
    readings: Readings, rows: Rows, target: Target, heads: dict[str, LinearHead], cfg: EvaluateConfig
) -> LinearHead:
    """Return the best of the head that reads both at once, the two heads of either, weighed, and either alone."""
    validation = _samples(readings.joined, rows, target, "both", "validation")
    is_flag = target.loss == "sigmoid"
    if len(validation.y) < cfg.calibration.min_rows or (is_flag and len(np.unique(validation.y)) < 2):
        return heads["both"]
    loss = log_loss_of(target.loss)
    prior = _prior(target.y[(rows.split == "train") & (target.y >= 0)], target)
    stacked = stack(heads["image"], heads["text"], prior, validation, loss)
    if cfg.heads.fusion == "stacked":
        return stacked.head
    as_fitted = [as_it_is(heads[name], validation, loss) for name in ("both", "image", "text")]
    return min([*as_fitted, stacked], key=lambda one: one.cost).head


def _prior(y: np.ndarray, target: Target) -> np.ndarray:
    """Return the logits [C] of the classes' frequencies among ``y`` [N], UNSEEN of a class without a row."""
    if target.loss == "sigmoid":
        share = float(y.mean())
        return np.array([np.log(share / (1.0 - share))])
    counts = np.bincount(y, minlength=len(target.labels))
    return np.where(counts > 0, np.log(np.maximum(counts, 1) / len(y)), UNSEEN)


def _without_rows(target: Target) -> float:
    return UNSEEN if target.loss == "sigmoid" else 0.0


def _why_untrainable(y: np.ndarray, target: Target) -> str:
    if not len(y):
        return "no labels" if (target.y < 0).all() else "no labelled train listing of this modality"
    if len(np.unique(y)) == 1:
        return ONE_LABEL
    return ""


def _samples(features: np.ndarray, rows: Rows, target: Target, modality: str, split: str) -> Samples:
    used = np.flatnonzero((rows.split == split) & (target.y >= 0) & rows.has(modality))
    if split == "validation":
        used = rows.sample(used, len(target.labels))
    return Samples(features[used], target.y[used])
