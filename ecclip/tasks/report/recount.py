"""Heads asked once more about the test listings that a bundle keeps: their metrics, and how others compare."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from ecclip.tasks.report.classes import ScoredHead, report_tasks, score_heads
from ecclip.tasks.report.evidence import FROZEN_LOGITS, parts_of, read_evidence, rows_of, targets_of
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.paired import compare_cells

_FEW_ROUNDS = EvaluateConfig(bootstrap_rounds=20)  # where the intervals are not looked at
_ROUNDS = EvaluateConfig()


def measure(heads: Heads, evidence: Mapping[str, np.ndarray]) -> tuple[Findings, dict[str, ScoredHead]]:
    """Return the metrics of heads on the test listings kept, and their answers by ``<head>/<modality>``.

    ``evidence`` has what these heads read of the listings, and the truth in their class numbers.
    """
    rows, findings = rows_of(evidence, heads.dim), Findings()
    cfg = _FEW_ROUNDS.model_copy(update={"auto": AutoConfig(precision=heads.promise)})
    scored = report_tasks(TASKS, rows, targets_of(heads, evidence), as_trained(heads), cfg, findings)
    return findings, scored


def compare_frozen(
    heads: Heads,
    evidence: Mapping[str, np.ndarray],
    scored: Mapping[str, ScoredHead],
    cfg: EvaluateConfig = _ROUNDS,
) -> dict[str, Comparison]:
    """Return the comparison of answers with the frozen start by cell and part of the catalog, as far as it was kept."""
    if FROZEN_LOGITS not in evidence:
        return {}
    rows, trained = rows_of(evidence, heads.dim), as_trained(heads)
    logits = {name: evidence[FROZEN_LOGITS][:, place] for place, name in enumerate(MODALITIES)}
    frozen = score_heads(rows, targets_of(heads, evidence), trained, logits)
    return compare_cells(TASKS, scored, frozen, rows.groups, cfg, parts_of(evidence))


def as_trained(heads: Heads) -> Trained:
    """Return heads as they were read: of calibrations nothing is known, and of what was not trained only that."""
    untrained = {f"{name}/{one}": "no labels" for name, found in heads.unlabelled.items() for one in found}
    return Trained(heads, {}, untrained)


def rescore(folder: Path, other: Path | None, image: np.ndarray | None, text: np.ndarray | None) -> Rescored:
    """Return a bundle beside another system on the test listings that the bundle keeps.

    Args:
        folder: the bundle.
        other: the other bundle; None stands for the frozen start, whose answers the bundle keeps.
        image: what the other bundle's heads read of the photos, float32 [n, i] in the order of the listings kept, NaN
            without one.
        text: the same of the titles, float32 [n, t].

    Raises:
        IntegrityError: heads or evidence cannot be read.
    """
    heads, evidence = load_heads(folder / HEADS), read_evidence(folder)
    ours, scored = measure(heads, evidence)
    if other is None:
        return Rescored(ours=ours.metrics, theirs={}, cells=compare_frozen(heads, evidence, scored))
    others = load_heads(other / HEADS)
    truth = np.array([one.y for one in _renumbered(others, heads, evidence)], dtype=np.int64)
    read: dict[str, Any] = {**evidence, "image": image, "text": text, "truth": truth}
    theirs, answers = measure(others, read)
    groups = rows_of(evidence, heads.dim).groups
    cells = compare_cells(TASKS, scored, answers, groups, _ROUNDS, parts_of(evidence))
    return Rescored(ours=ours.metrics, theirs=theirs.metrics, cells=cells)


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
