"""Train the heads of all targets on split train, calibrate on validation, and put them into one matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.linear import UNSEEN, LinearHead, Samples, constant_head, fit_sigmoid, fit_softmax
from ecclip.tasks.heads.matrix import MODALITIES, Head, Heads, join
from ecclip.tasks.kinds import Target
from ecclip.tasks.kinds.task import NO_LABEL
from ecclip.tasks.report.metrics import threshold_at
from ecclip.tasks.rows import Rows
from ecclip.tasks.scores import NEVER_AUTO, confidence, probabilities

ONE_LABEL = "all train listings have the same label"


@dataclass(frozen=True)
class Trained:
    """The heads as they will serve, the temperature of each, and what could not be trained and why."""

    heads: Heads
    temperatures: dict[str, dict[str, float]]
    untrained: dict[str, str]


def train_heads(rows: Rows, targets: list[Target], cfg: EvaluateConfig) -> Trained:
    """Fit every target from every modality; what cannot be trained becomes a constant that is never ``auto``."""
    dim, columns = rows.dim, sum(len(target.labels) for target in targets)
    inputs = rows.inputs(features=any(choice != "embedding" for choice in cfg.heads.features.values()))
    widths = (inputs[0].shape[1], inputs[1].shape[1])
    joined = join(*inputs, widths)
    weight = np.zeros((len(MODALITIES), sum(widths), columns))
    bias = np.zeros((len(MODALITIES), columns))
    layout = _layout(targets)
    temperatures: dict[str, dict[str, float]] = {target.name: {} for target in targets}
    untrained: dict[str, str] = {}
    for index, modality in enumerate(MODALITIES):
        for target, head in zip(targets, layout, strict=True):
            read = columns_read(modality, cfg.heads.features.get(target.task, "embedding"), dim, widths)
            fitted, reason = _fit(joined[:, read], rows, target, modality, cfg)
            weight[index, read, head.start : head.stop] = fitted.weight
            bias[index, head.start : head.stop] = fitted.bias
            temperatures[target.name][modality] = fitted.temperature
            if reason:
                untrained[f"{target.name}/{modality}"] = reason
    heads = Heads(
        dim,
        weight.astype(np.float32),
        bias.astype(np.float32),
        layout,
        {},
        _unlabelled(targets, untrained),
        widths=widths,
    )
    heads.thresholds.update(_thresholds(heads, inputs, rows, targets, untrained, cfg))
    return Trained(heads, temperatures, untrained)


def columns_read(modality: str, choice: str, dim: int, widths: tuple[int, int]) -> np.ndarray:
    """Return the columns, int64 [F], of the joined inputs that a head of ``modality`` reads (``heads.features``)."""
    starts = {"image": [(0, widths[0])], "text": [(widths[0], widths[1])]}
    parts = [part for name in ("image", "text") if modality in (name, "both") for part in starts[name]]
    slices = {"embedding": slice(0, dim), "towers": slice(dim, None), "both": slice(0, None)}
    return np.concatenate([start + np.arange(width)[slices[choice]] for start, width in parts])


def _unlabelled(targets: list[Target], untrained: dict[str, str]) -> dict[str, list[str]]:
    """Return where a head has no answer: no label at all, or a flag whose labels are all the same."""
    found = {
        target.name: [
            modality
            for modality in MODALITIES
            if (reason := untrained.get(f"{target.name}/{modality}"))
            and (reason != ONE_LABEL or target.loss == "sigmoid")
        ]
        for target in targets
    }
    return {name: modalities for name, modalities in found.items() if modalities}


def _layout(targets: list[Target]) -> tuple[Head, ...]:
    stops = np.cumsum([len(target.labels) for target in targets]).tolist()
    starts = [0, *stops[:-1]]
    return tuple(
        Head(target.task, target.name, target.loss, start, stop, target.labels)
        for target, start, stop in zip(targets, starts, stops, strict=True)
    )


def _fit(
    features: np.ndarray, rows: Rows, target: Target, modality: str, cfg: EvaluateConfig
) -> tuple[LinearHead, str]:
    """Return the head and, where it is a mere constant, the reason."""
    train = _samples(features, rows, target, modality, "train")
    validation = _samples(features, rows, target, modality, "validation")
    usable = validation if len(validation.y) >= cfg.calibration.min_rows else None
    reason = _why_untrainable(train.y, target)
    if not len(train.y):
        return constant_head(features.shape[1], np.full(len(target.labels), _without_rows(target))), reason
    if target.loss == "sigmoid":
        return fit_sigmoid(train, usable, cfg.heads.regularisation, cfg.heads.max_iterations), reason
    return fit_softmax(train, usable, len(target.labels), cfg.heads.regularisation, cfg.heads.max_iterations), reason


def _without_rows(target: Target) -> float:
    return UNSEEN if target.loss == "sigmoid" else 0.0


def _why_untrainable(y: np.ndarray, target: Target) -> str:
    if not len(y):
        return "no labels" if (target.y < 0).all() else "no labelled train listing of this modality"
    if len(np.unique(y)) == 1:
        return ONE_LABEL
    return ""


def _samples(features: np.ndarray, rows: Rows, target: Target, modality: str, split: str) -> Samples:
    used = (rows.split == split) & (target.y >= 0) & rows.has(modality)
    return Samples(features[used], target.y[used])


def _thresholds(
    heads: Heads,
    inputs: tuple[np.ndarray, np.ndarray],
    rows: Rows,
    targets: list[Target],
    untrained: dict[str, str],
    cfg: EvaluateConfig,
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {target.name: {} for target in targets}
    for modality in MODALITIES:
        known = (rows.split == "validation") & rows.has(modality)
        logits = heads.logits(inputs[0][known], inputs[1][known], modality)
        for target, head in zip(targets, heads.parts, strict=True):
            name = f"{target.name}/{modality}"
            scores = probabilities(logits[:, head.start : head.stop], head.loss)
            found[target.name][modality] = (
                NEVER_AUTO if name in untrained else _threshold(scores, target.loss, target.y[known], cfg)
            )
    return found


def _threshold(scores: np.ndarray, loss: str, y: np.ndarray, cfg: EvaluateConfig) -> float:
    """A flag is rare, so its two sides count the same: a missed one cannot hide behind many that are not flagged."""
    asked = y != NO_LABEL
    scores, y = scores[asked], y[asked]
    if not len(y):
        return NEVER_AUTO
    sure = confidence(scores, loss)
    if loss == "softmax":
        return threshold_at(sure, scores.argmax(axis=1) == y, cfg.auto.precision, cfg.auto.min_rows)
    correct = (scores[:, 0] >= 0.5) == (y == 1)
    yes = float((y == 1).mean())
    if yes in (0.0, 1.0):
        return NEVER_AUTO
    weights = np.where(y == 1, 0.5 / yes, 0.5 / (1 - yes))
    return threshold_at(sure, correct, cfg.auto.precision, cfg.auto.min_rows, weights)
