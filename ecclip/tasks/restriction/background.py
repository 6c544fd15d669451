"""Whether a class is told by the background of its photos: scores where only the border is seen, and beside negatives
on the same background.

A head that reads the product ranks restricted photos no better than chance once the product is cut out, and as well
above negatives on the same background as above any others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from ecclip.formats.embeddings import load_borders
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.fitting import Trained
from ecclip.tasks.report.classes import ScoredHead
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.metrics import Bootstrap
from ecclip.tasks.rows import Rows
from ecclip.tasks.scores import probabilities

METRIC, GUARD = "area under the ROC curve", "recall on validation"
AS_THEY_ARE, BALANCED = "negatives as they are", "negatives weighed by background"
WHOLE, SAME, BORDER = "whole photo", "beside negatives on the same background", "border alone"
_MIN_ROWS = 10  # photos of the class, and others, below which nothing is said; by judgment


def report_backgrounds(
    embedded: Path,
    rows: Rows,
    scored: Mapping[str, ScoredHead],
    trained: Trained,
    cfg: EvaluateConfig,
    findings: Findings,
) -> None:
    """Add ``slices`` of the photo's heads that flag a listing, by name ``<head>/image/area under the ROC curve``, and
    ``<head>/<modality>/recall on validation`` of those whose negatives could be weighed by their backgrounds.

    Each has ``value`` and ``rows``; an area its 95 % interval, and of two recalls the one that serves is ``kept``. A
    class that is told from the border alone beyond the interval is said to be so in ``missing``, as what its photo
    figures then do not show.
    """
    _report_guards(trained, findings)
    borders = load_borders(embedded)
    if borders is None:
        return
    place = {str(name): number for number, name in enumerate(rows.listing_ids)}
    members = np.array([place[name] for name in borders.listing_ids], dtype=np.int64)
    seen = np.full(len(rows.listing_ids), -1)
    seen[members] = np.arange(len(members))
    image = borders.image
    if trained.heads.read_features and borders.image_features is not None:
        image = np.concatenate([borders.image, borders.image_features], axis=1)
    logits = trained.heads.logits(image, None, "image")
    for head in (one for one in trained.heads.parts if one.loss == "sigmoid"):
        one = scored.get(f"{head.name}/image")
        if one is None or one.prefix in trained.untrained:
            continue
        part = one.part(np.flatnonzero(seen[one.rows] >= 0))
        border = probabilities(logits[seen[part.rows], head.start].astype(np.float64), "sigmoid")
        _report(part, border, borders.image[seen[part.rows]], rows, cfg, findings)


def _report_guards(trained: Trained, findings: Findings) -> None:
    for (head, modality), one in trained.balances.items():
        recalls = {AS_THEY_ARE: (one.as_they_are, not one.is_kept), BALANCED: (one.balanced, one.is_kept)}
        findings.slices[f"{head}/{modality}/{GUARD}"] = {
            name: {"value": round(value, 6), "rows": one.positives, "kept": float(is_kept)}
            for name, (value, is_kept) in recalls.items()
        }


def _report(
    scored: ScoredHead, border: np.ndarray, looks: np.ndarray, rows: Rows, cfg: EvaluateConfig, findings: Findings
) -> None:
    """Add what is known of one head: ``border`` [M] are its scores of borders, ``looks`` [M, d] their embeddings."""
    truth = scored.truth == 1
    name = f"{scored.prefix}/background"
    if min(truth.sum(), (~truth).sum()) < _MIN_ROWS:
        findings.add_missing(name, f"not measured: fewer than {_MIN_ROWS} test photos of the class, or of others")
        return
    whole, groups = scored.scores[:, 0], rows.groups[scored.rows]
    same = truth | np.isin(np.arange(len(truth)), _nearest_negatives(looks, truth))
    cells = {WHOLE: (whole, truth | True), SAME: (whole, same), BORDER: (border, truth | True)}
    found = {part: _cell(scores, truth, groups, kept, cfg) for part, (scores, kept) in cells.items()}
    findings.slices[f"{scored.prefix}/{METRIC}"] = found
    if found[BORDER]["low"] > 0.5:
        findings.add_missing(
            name,
            f"the border alone tells this class ({found[BORDER]['value']:.2f} of {METRIC}, at least "
            f"{found[BORDER]['low']:.2f}): part of what its photos show may be their background; give it negatives "
            "that are photographed alike",
        )


def _nearest_negatives(looks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return for each photo of the class the place of the other photo with the most similar border."""
    others = np.flatnonzero(~truth)
    lengths = np.linalg.norm(looks, axis=1, keepdims=True)
    unit = looks / np.maximum(lengths, 1e-12)
    found: np.ndarray = others[(unit[truth] @ unit[others].T).argmax(axis=1)]
    return found


def _cell(
    scores: np.ndarray, truth: np.ndarray, groups: np.ndarray, kept: np.ndarray, cfg: EvaluateConfig
) -> dict[str, float]:
    def measure(flags: np.ndarray, values: np.ndarray, weights: np.ndarray) -> float:
        both = (weights * flags).any() and (weights * ~flags).any()
        return float(roc_auc_score(flags, values, sample_weight=weights)) if both else float("nan")

    flags, values = truth[kept], scores[kept]
    low, high = Bootstrap(groups[kept], cfg.bootstrap_rounds, cfg.seed).weighted(measure, flags, values)
    value = measure(flags, values, np.ones(len(flags)))
    return {
        "value": round(value, 6),
        "rows": int(kept.sum()),
        "low": round(low, 6),
        "high": round(high, 6),
    }
