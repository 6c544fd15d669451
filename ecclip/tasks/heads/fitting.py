"""Train the heads of all targets on split train, calibrate on validation, and put them into one matrix."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ecclip.tasks.backing_off import Paths, thresholds_by_level
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.calibration import Calibration, calibrated
from ecclip.tasks.heads.linear import LinearHead, constant_head
from ecclip.tasks.heads.matrix import MODALITIES, Head, Heads, join
from ecclip.tasks.heads.reading import Readings
from ecclip.tasks.heads.target import ONE_LABEL, Fitted, fit_target
from ecclip.tasks.heads.zero_shot import zero_shot_head
from ecclip.tasks.kinds import Target, true_paths
from ecclip.tasks.kinds.task import NO_LABEL
from ecclip.tasks.levels import Levels
from ecclip.tasks.operating_point import OperatingPoint, operating_point, within_point
from ecclip.tasks.restriction.balance import Balance
from ecclip.tasks.rows import THRESHOLDS, Rows
from ecclip.tasks.scores import probabilities
from ecclip.tasks.thresholds import Answers, Thresholds, thresholds_of

NOT_MEASURED = "not measured: no labels to learn from; answered zero-shot, from its description, for review only"
OPTIONS_NOT_MEASURED = (
    "not measured: no test listing states one of the options; answered zero-shot, from the options that a file names, "
    "for review only"
)
_TOO_FEW = "too few listings outside split test to compare the options with"


@dataclass(frozen=True)
class Trained:
    """The heads as they will serve, the calibration of each, and what could not be trained and why.

    ``calibrations`` are by head and modality; none where a head serves as it was fitted. ``balances`` are by head and
    modality of flags whose negatives could be weighed by their backgrounds.
    """

    heads: Heads
    calibrations: dict[tuple[str, str], Calibration]
    untrained: dict[str, str]
    balances: dict[tuple[str, str], Balance] = field(default_factory=dict)


@threadpool_limits.wrap(limits=1)  # sums in one order; threads that wait for each other on a busy machine gain nothing
def train_heads(rows: Rows, targets: list[Target], cfg: EvaluateConfig) -> Trained:
    """Fit every target from every modality; what cannot be trained becomes a constant that is never ``auto``."""
    choices = {target.name: features_read(target.task, rows, cfg) for target in targets}
    inputs = rows.inputs(features=any(choice != "embedding" for choice in choices.values()))
    widths = (inputs[0].shape[1], inputs[1].shape[1])
    weight = np.zeros((len(MODALITIES), sum(widths), sum(len(target.labels) for target in targets)))
    bias = np.zeros((len(MODALITIES), weight.shape[2]))
    layout = _layout(targets)
    calibrations: dict[tuple[str, str], Calibration] = {}
    untrained: dict[str, str] = {}
    balances: dict[tuple[str, str], Balance] = {}
    zero_shot: dict[str, list[str]] = {}
    readings = Readings(rows, join(*inputs, widths), widths, cfg.heads.axes)
    for target, head in zip(targets, layout, strict=True):
        found = _fit(readings, rows, target, choices[target.name], cfg)
        for index, modality in enumerate(MODALITIES):
            fitted, reason = found[modality].head, found[modality].reason
            if (balance := found[modality].balance) is not None:
                balances[target.name, modality] = balance
            described = zero_shot_head(target, rows, readings, modality, choices[target.name]) if reason else None
            if described is not None:
                fitted, reason = described, OPTIONS_NOT_MEASURED if target.zero_shot else NOT_MEASURED
                zero_shot.setdefault(target.name, []).append(modality)
            elif not target.zero_shot:
                fitted, calibrations[target.name, modality] = _calibrated(
                    fitted, readings.joined, rows, target, modality, cfg
                )
            weight[index, :, head.start : head.stop] = fitted.weight
            bias[index, head.start : head.stop] = fitted.bias
            if reason:
                untrained[f"{target.name}/{modality}"] = reason
    heads = Heads(
        rows.dim,
        weight.astype(np.float32),
        bias.astype(np.float32),
        layout,
        {},
        _unlabelled(targets, untrained, zero_shot),
        widths=widths,
        promise=cfg.auto.precision,
        taxonomy=rows.taxonomy.describe() if rows.taxonomy else {},
        zero_shot=zero_shot,
        policy=_policy(rows),
        options=_options(rows, targets),
    )
    _set_thresholds(heads, inputs, rows, targets, untrained, cfg)
    return Trained(heads, calibrations, untrained, balances)


def _fit(readings: Readings, rows: Rows, target: Target, choice: str, cfg: EvaluateConfig) -> dict[str, Fitted]:
    """Return what is fitted by modality; of a target that never learns a constant."""
    if not target.zero_shot:
        return fit_target(readings, rows, target, choice, cfg)
    nothing = constant_head(readings.joined.shape[1], np.zeros(len(target.labels)))
    return dict.fromkeys(MODALITIES, Fitted(nothing, _TOO_FEW))


def features_read(task: str, rows: Rows, cfg: EvaluateConfig) -> str:
    """Return what the heads of a task read: what the configuration says, else all that the embeddings have."""
    return cfg.heads.features.get(task, "embedding" if rows.image_features is None else "both")


def _calibrated(
    head: LinearHead, x: np.ndarray, rows: Rows, target: Target, modality: str, cfg: EvaluateConfig
) -> tuple[LinearHead, Calibration]:
    known = np.flatnonzero((rows.split == "validation") & (target.y >= 0) & rows.has(modality))
    used = rows.sample(known, len(target.labels))
    if len(used) < cfg.calibration.min_rows:
        return head, Calibration()
    return calibrated(head, x[used], target.y[used], rows.groups[used], target.loss)


def _policy(rows: Rows) -> dict[str, Any]:
    if rows.policy is None:
        return {}
    policy = rows.policy.policy
    ages = {one.name: one.minimum_age for one in policy.classes}
    return {"version": policy.version, "sha256": policy.sha256, "minimum_ages": ages}


def _options(rows: Rows, targets: list[Target]) -> dict[str, Any]:
    """Return what heads.json says of the attributes that a file names, as far as targets answer them by it."""
    if rows.options is None:
        return {}
    asked = {target.name.partition(":")[2] for target in targets if target.zero_shot}
    given = rows.options.options
    attributes = {
        one.name: {
            "categories": [list(path) for path in one.categories],
            "names": {option.name: dict(option.names) for option in one.options if option.names},
        }
        for one in given.attributes
        if one.name in asked
    }
    return {"version": given.version, "sha256": given.sha256, "attributes": attributes}


def _unlabelled(
    targets: list[Target], untrained: dict[str, str], zero_shot: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Return where a head has no answer: no label at all, or a flag whose labels are all the same."""
    found = {
        target.name: [
            modality
            for modality in MODALITIES
            if (reason := untrained.get(f"{target.name}/{modality}"))
            and (reason != ONE_LABEL or target.loss == "sigmoid")
            and modality not in zero_shot.get(target.name, ())
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


def _set_thresholds(
    heads: Heads,
    inputs: tuple[np.ndarray, np.ndarray],
    rows: Rows,
    targets: list[Target],
    untrained: dict[str, str],
    cfg: EvaluateConfig,
) -> None:
    """Set the thresholds of every head and modality on listings that neither heads nor calibration were fitted to."""
    for target in targets:
        heads.thresholds[target.name] = {}
    for modality in MODALITIES:
        known = rows.in_validation & rows.has(modality)
        logits = heads.logits(inputs[0][known], inputs[1][known], modality)
        for target, head in zip(targets, heads.parts, strict=True):
            found = Thresholds()
            if f"{target.name}/{modality}" not in untrained:
                scores = probabilities(logits[:, head.start : head.stop], head.loss)
                found = _thresholds(scores, target, rows, known, cfg)
                if target.rate:
                    point = _point(scores[:, 0], target, rows, known)
                    heads.points.setdefault(target.name, {})[modality] = asdict(point)
                    found = replace(found, classes=within_point(found.score, point.score))
            if found.levels:
                above = {str(level): score for level, score in sorted(found.levels.items())}
                heads.level_thresholds.setdefault(target.name, {})[modality] = above
            heads.thresholds[target.name][modality] = found.score
            if found.classes:
                own = {str(number): score for number, score in sorted(found.classes.items())}
                heads.class_thresholds.setdefault(target.name, {})[modality] = own


def _point(scores: np.ndarray, target: Target, rows: Rows, known: np.ndarray) -> OperatingPoint:
    """Return the operating point of a flag with ``scores`` [M] of the ``known`` listings, bool [N]; M are known."""
    held_out = (rows.split[known] == THRESHOLDS) & (target.y[known] != NO_LABEL)
    return operating_point(scores[held_out], target.y[known][held_out], rows.groups[known][held_out], target.rate)


def _thresholds(scores: np.ndarray, target: Target, rows: Rows, known: np.ndarray, cfg: EvaluateConfig) -> Thresholds:
    """Return the thresholds of a head with ``scores`` [M, C] of the ``known`` listings, bool [N]; M are known."""
    labelled = target.y[known] != NO_LABEL
    answers = Answers.of(scores[labelled], target.y[known][labelled], rows.groups[known][labelled], target.loss)
    held_out = rows.split[known][labelled] == THRESHOLDS
    paths = true_paths(target, rows)
    if paths is None:
        return thresholds_of(answers.part(held_out), answers.part(~held_out), cfg.auto)
    truths = [paths[row] for row in np.flatnonzero(known)[labelled]]
    return thresholds_by_level(Paths(Levels(target.labels), scores[labelled], answers, truths), held_out, cfg.auto)
