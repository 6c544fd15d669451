"""Matching by two embeddings of the same listings: whether the nearest one is of the same product, query by query."""

from __future__ import annotations

import numpy as np

from ecclip.formats.report import Comparison
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.matching.neighbours import all_neighbours
from ecclip.tasks.matching.pairs import hits_at, score_neighbours
from ecclip.tasks.report.metrics import Bootstrap
from ecclip.tasks.report.paired import comparison
from ecclip.tasks.rows import Rows


def compare_matching(rows: Rows, frozen: Rows, cfg: EvaluateConfig) -> dict[str, Comparison]:
    """Return the difference of recall@1 by cell ``matching/<modality>``; none where no test listing has a match.

    ``frozen`` are the same listings by the frozen start, whose own features are compared: its projections may never
    have been trained.
    """
    found = {}
    for modality in MODALITIES:
        members = np.flatnonzero(rows.has(modality) & frozen.has(modality))
        if len(members) < 2:
            continue
        groups, neighbours = rows.groups[members], min(cfg.matching.neighbours, len(members) - 1)
        asked = (rows.split[members] == "test") & (np.bincount(groups)[groups] > 1)
        if not asked.any():
            continue
        ours, other = (_hits(one.vectors(modality)[members], groups, neighbours)[asked] for one in (rows, frozen))
        resample, ones = Bootstrap(groups[asked], cfg.bootstrap_rounds, cfg.seed), np.ones(int(asked.sum()))
        differences = resample.ratios(ours - other, ones)
        found[f"matching/{modality}"] = comparison(
            "recall@1", len(ones), float(ours.mean()), float(other.mean()), differences
        )
    return {cell: one for cell, one in found.items() if one is not None}


def _hits(vectors: np.ndarray, groups: np.ndarray, neighbours: int) -> np.ndarray:
    scores, found = all_neighbours(vectors, neighbours)
    return hits_at(score_neighbours(np.arange(len(vectors)), scores, found, groups), 1)
