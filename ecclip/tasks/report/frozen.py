"""The frozen start beside ours: heads fitted alike on what the towers say that were never trained on this catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ecclip.formats.embeddings import Origin
from ecclip.formats.report import FROZEN_START
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.fitting import Trained, train_heads
from ecclip.tasks.kinds import TASKS, Target
from ecclip.tasks.matching.paired import compare_matching
from ecclip.tasks.report.classes import ScoredHead, logits_of, score_heads
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.paired import compare_cells
from ecclip.tasks.rows import Rows

_SAME = 1e-3  # largest difference of an element of features of length 1 that rounding explains; by judgment


def report_frozen(
    frozen: Rows | None,
    origin: Origin,
    rows: Rows,
    targets: list[Target],
    scored: Mapping[str, ScoredHead],
    cfg: EvaluateConfig,
    findings: Findings,
) -> dict[str, np.ndarray]:
    """Add the comparison with the frozen start in every cell; return its logits by modality, none without it.

    Logits [T, C] are those of the test listings.
    ``frozen`` are the ``rows`` as the start embeds them, ``origin`` is what our embeddings were made from.

    Its heads read all that the start says, and are fitted, chosen and cooled by the same rules as ours.
    """
    if frozen is None:
        findings.add_missing(FROZEN_START, "the embeddings came without those of the frozen start")
        return {}
    alike = cfg.model_copy(update={"heads": cfg.heads.model_copy(update={"features": {}})})
    trained = train_heads(frozen, targets, alike)
    logits = logits_of(frozen, trained)
    answers = answered(score_heads(rows, targets, trained, logits), trained)
    compared = compare_cells(TASKS, scored, answers, rows.groups, cfg)
    own = replace(frozen, image=_known(frozen.image_features), text=_known(frozen.text_features))
    compared |= compare_matching(rows, own, cfg)
    serving = towers_of_the_start(rows, frozen)
    if float(origin.start_share) == 1:  # of a fine-tuning, which starts from the champion's
        serving = {"image", "text"}
    fallback = sum(set(_read(cell)) <= serving for cell in compared)
    findings.compare(FROZEN_START, compared, fallback)
    return logits


def answered(scored: Mapping[str, ScoredHead], trained: Trained) -> dict[str, ScoredHead]:
    """Return the answers of heads that were trained; the others are constants."""
    return {name: one for name, one in scored.items() if name not in trained.untrained}


def towers_of_the_start(rows: Rows, frozen: Rows) -> set[str]:
    """Return which of the served towers, ``image`` and ``text``, are the start's own: their features are the same."""
    pairs = {
        "image": (rows.image_features, frozen.image_features),
        "text": (rows.text_features, frozen.text_features),
    }
    return {name for name, (served, start) in pairs.items() if _are_same(served, start)}


def _known(features: np.ndarray | None) -> np.ndarray:
    assert features is not None  # a frozen start is embedded with its features
    return features


def _are_same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return False
    known = ~np.isnan(one).any(axis=1) & ~np.isnan(other).any(axis=1)
    return bool(known.any()) and bool(np.abs(one[known] - other[known]).max() < _SAME)


def _read(cell: str) -> tuple[str, ...]:
    modality = cell.rpartition("/")[2]
    return ("image", "text") if modality == "both" else (modality,)
