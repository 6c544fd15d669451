"""Matching and clustering of a snapshot from one modality, and their quality on the test split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score, v_measure_score

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.matching.neighbours import all_neighbours, mutual_pairs
from ecclip.tasks.matching.pairs import (
    Retrieved,
    hits_at,
    match_threshold,
    mean_average_precision,
    pairs_at,
    score_neighbours,
)
from ecclip.tasks.matching.products import cluster
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.metrics import Bootstrap, average_precision
from ecclip.tasks.rows import Rows


@dataclass(frozen=True)
class FoundProducts:
    """The products found from one modality: row numbers of the snapshot [M] and their product number [M]."""

    members: np.ndarray
    products: np.ndarray


def report_matching(rows: Rows, modality: str, cfg: EvaluateConfig, findings: Findings) -> FoundProducts | None:
    """Add ``matching/<modality>/*`` and ``clustering/<modality>/*``; None if nothing can be clustered."""
    members = np.flatnonzero(rows.has(modality))
    matching, clustering = f"matching/{modality}", f"clustering/{modality}"
    if len(members) < 2:
        for name in (matching, clustering):
            findings.add_missing(name, "fewer than two listings of this modality")
        return None
    vectors, groups, split = rows.vectors(modality)[members], rows.groups[members], rows.split[members]
    scores, found = all_neighbours(vectors, min(cfg.matching.neighbours, len(members) - 1))
    retrieved = score_neighbours(np.arange(len(members)), scores, found, groups)
    asked = retrieved.part(rows.in_validation[members])
    threshold = match_threshold(asked, cfg.matching.precision, cfg.matching.min_pairs)
    _retrieval(retrieved.part(split == "test"), groups, matching, cfg, findings)
    if threshold >= NEVER_AUTO:
        reason = f"no score reaches precision {cfg.matching.precision} on the validation pairs"
        findings.add_missing(f"{matching}/threshold", reason)
        findings.add_missing(clustering, reason)
        return None
    findings.add(f"{matching}/threshold", threshold)
    _pairs(retrieved.part(split == "test"), groups, threshold, matching, cfg, findings)
    products = cluster_neighbours(scores, found, threshold, cfg.matching.max_product_size)
    _clusters(products, groups, split, clustering, cfg, findings)
    return FoundProducts(members, products)


def _retrieval(test: Retrieved, groups: np.ndarray, prefix: str, cfg: EvaluateConfig, findings: Findings) -> None:
    asked = test.part(test.relevant > 0)
    findings.rows[f"{prefix}/queries"] = len(asked.queries)
    if not len(asked.queries):
        findings.add_missing(prefix, "no test listing has another listing of its group")
        return
    resample = Bootstrap(groups[asked.queries], cfg.bootstrap_rounds, cfg.seed)
    for k in (1, 5, 10):
        hits = hits_at(asked, k)
        findings.add(f"{prefix}/recall@{k}", float(hits.mean()), resample.mean(hits))
    precision = mean_average_precision(asked)
    findings.add(f"{prefix}/mean_average_precision", float(precision.mean()), resample.mean(precision))
    real = np.isfinite(test.scores)
    share_seen = test.correct.sum() / test.relevant.sum()  # pairs beyond the neighbours count as missed
    pair_precision = average_precision(test.correct[real].astype(np.float64), test.scores[real])
    findings.add(f"{prefix}/pair_average_precision", pair_precision * float(share_seen) if share_seen else 0.0)


def _pairs(
    test: Retrieved, groups: np.ndarray, threshold: float, prefix: str, cfg: EvaluateConfig, findings: Findings
) -> None:
    given, right = pairs_at(test, threshold)
    resample = Bootstrap(groups[test.queries], cfg.bootstrap_rounds, cfg.seed)
    if given.sum():
        interval = resample.ratio(right, given)
        findings.add(f"{prefix}/precision_at_threshold", right.sum() / given.sum(), interval)
    else:
        findings.add_missing(f"{prefix}/precision_at_threshold", "no test pair reaches the threshold")
    if test.relevant.sum():
        interval = resample.ratio(right, test.relevant)
        findings.add(f"{prefix}/recall_at_threshold", right.sum() / test.relevant.sum(), interval)


def cluster_neighbours(scores: np.ndarray, found: np.ndarray, threshold: float, max_size: int) -> np.ndarray:
    """Return the product number of every listing [N] by its neighbours ``found`` and their ``scores`` [N, k]: pairs of
    which each is among the other's neighbours match from ``threshold`` on.
    """
    above = scores >= threshold
    left = np.repeat(np.arange(len(scores)), scores.shape[1])[above.ravel()]
    pairs = mutual_pairs(left, found[above], scores[above], len(scores))
    return cluster(*pairs, np.arange(len(scores)), max_size)


def cluster_counts(products: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for every listing [N] how many others share its product, its group, and both."""
    joint = np.unique(products * (int(groups.max()) + 1) + groups, return_inverse=True)[1]
    same_product = np.bincount(products)[products] - 1
    same_group = np.bincount(groups)[groups] - 1
    return same_product, same_group, np.bincount(joint)[joint] - 1


def _clusters(
    products: np.ndarray, groups: np.ndarray, split: np.ndarray, prefix: str, cfg: EvaluateConfig, findings: Findings
) -> None:
    """Clusters are found among all listings and measured on pairs with a listing of the test split."""
    test = split == "test"
    if not test.any():
        findings.add_missing(prefix, "no test listing of this modality")
        return
    given, relevant, right = (counts[test] for counts in cluster_counts(products, groups))
    resample = Bootstrap(groups[test], cfg.bootstrap_rounds, cfg.seed)
    if given.sum():
        findings.add(f"{prefix}/precision", right.sum() / given.sum(), resample.ratio(right, given))
    else:
        findings.add_missing(f"{prefix}/precision", "no product with a test listing has two listings")
    if relevant.sum():
        findings.add(f"{prefix}/recall", right.sum() / relevant.sum(), resample.ratio(right, relevant))
        both = given + relevant
        findings.add(f"{prefix}/f1", 2 * right.sum() / both.sum(), resample.ratio(2.0 * right, both))
    else:
        findings.add_missing(f"{prefix}/recall", "no test listing has another listing of its group")
    findings.add(f"{prefix}/adjusted_rand", adjusted_rand_score(groups[test], products[test]))
    findings.add(f"{prefix}/v_measure", v_measure_score(groups[test], products[test]))
