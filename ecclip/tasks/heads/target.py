"""The heads of one target: from the photo, from the title, and from both together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

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
from ecclip.tasks.restriction.balance import Balance, balanced_head, strata_of
from ecclip.tasks.rows import Rows

ONE_LABEL = "all train listings have the same label"


@dataclass(frozen=True)
class Fitted:
    """A head of the joined inputs; where it is a mere constant, the reason; of a flag, what backgrounds had to say."""

    head: LinearHead
    reason: str = ""
    balance: Balance | None = None


def fit_target(readings: Readings, rows: Rows, target: Target, choice: str, cfg: EvaluateConfig) -> dict[str, Fitted]:
    """Return what is fitted by modality."""
    found = {name: _fit_one(readings, rows, target, name, choice, cfg) for name in ("image", "text", "both")}
    if not any(one.reason for one in found.values()) and cfg.heads.fusion != "joint":
        fused = _fused(readings, rows, target, {name: one.head for name, one in found.items()}, cfg)
        found["both"] = replace(found["both"], head=fused)
    return found


def _fit_one(readings: Readings, rows: Rows, target: Target, modality: str, choice: str, cfg: EvaluateConfig) -> Fitted:
    reading = readings.of(modality, choice)
    train = _samples(reading.turned, rows, target, modality, "train")
    validation = _samples(reading.turned, rows, target, modality, "validation")
    usable = validation if len(validation.y) >= cfg.calibration.min_rows else None
    reason = _why_untrainable(train.y, target)
    strengths, iterations, balance = cfg.heads.regularisation, cfg.heads.max_iterations, None
    if not len(train.y):
        head = constant_head(reading.turned.shape[1], np.full(len(target.labels), _without_rows(target)))
    elif target.loss == "sigmoid":
        fit = partial(fit_sigmoid, validation=usable, strengths=strengths, max_iterations=iterations)
        head, balance = _balanced(fit, train, validation, rows, target, modality)
    elif len(target.labels) > cfg.heads.discriminant_above:
        head = fit_discriminant(train, usable, target.labels)
    else:
        head = fit_softmax(train, usable, len(target.labels), strengths, iterations)
    return Fitted(reading.widen(head), reason, balance)


def _balanced(
    fit: Callable[[Samples], LinearHead],
    train: Samples,
    validation: Samples,
    rows: Rows,
    target: Target,
    modality: str,
) -> tuple[LinearHead, Balance | None]:
    """Return the head of a flag, guarded against the backgrounds of photos where it has an operating point."""
    if rows.backgrounds is None or not target.rate or modality == "text":
        return fit(train), None
    strata = strata_of(rows.backgrounds, rows.split == "train")
    taught, judged = (_used(rows, target, modality, split) for split in ("train", "validation"))
    return balanced_head(fit, train, strata[taught], validation, rows.groups[judged], target.rate)


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
    used = _used(rows, target, modality, split)
    return Samples(features[used], target.y[used])


def _used(rows: Rows, target: Target, modality: str, split: str) -> np.ndarray:
    used = np.flatnonzero((rows.split == split) & (target.y >= 0) & rows.has(modality))
    return rows.sample(used, len(target.labels)) if split == "validation" else used
