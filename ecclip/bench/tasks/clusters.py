"""Clustering: offers become products by the pairs that a system matches; figures of the offers of test pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecclip.bench.tasks.cells import Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.offers import read_offers
from ecclip.bench.tasks.pair_sets import TEST, VALIDATION, PairSet, load_pair_set
from ecclip.bench.tasks.pairs import scores_of
from ecclip.tasks.matching.products import cluster
from ecclip.tasks.matching.report import cluster_counts

TASK = "clustering"
_THRESHOLDS = 20  # that validation chooses from; by judgment
_LARGEST = 50  # listings that matching may join in one product, as the stage's default


def measure_clustering(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return pairwise and B-cubed figures of the offers of test pairs; clusters are found among all offers.

    The threshold is the one with the best pairwise F1 of the offers of validation pairs.
    """
    pairs = load_pair_set(data, cell.dataset)
    offers = read_offers(pairs.name, pairs.rows, pairs.table, work)
    left, right = offers.candidates
    scores = scores_of(cell.system, pairs, offers, left, right)
    held_out, test = _offers(pairs, VALIDATION), _offers(pairs, TEST)
    tried = np.unique(np.quantile(scores, 1 - np.geomspace(0.001, 0.5, _THRESHOLDS)))
    found = [_products(left, right, scores, float(threshold), len(pairs.rows)) for threshold in tried]
    best = max(found, key=lambda products: _f1(products, pairs.products, held_out))
    return judge(best, pairs.products, test)


def judge(products: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> dict[str, Measured]:
    """Return the figures of ``products`` [N] against ``truth`` [N] for the offers ``asked`` [T] (rows).

    B-cubed figures count the offer itself, as its definition does (Bagga and Baldwin, 1998); its F1 is the mean of the
    offers' own.
    """
    given, true, right = (counts[asked] for counts in cluster_counts(products, truth))
    groups, ones = truth[asked], np.ones(len(asked))
    precision, recall = (right + 1) / (given + 1), (right + 1) / (true + 1)
    return {
        "pairwise F1": Measured(2.0 * right, 1.0 * given + true, groups),
        "B-cubed F1": Measured(2 * precision * recall / (precision + recall), ones, groups),
        "B-cubed precision": Measured(precision, ones, groups),
        "B-cubed recall": Measured(recall, ones, groups),
    }


def _offers(pairs: PairSet, split: str) -> np.ndarray:
    places = pairs.within(split)
    return np.unique(np.append(pairs.left[places], pairs.right[places]))


def _products(left: np.ndarray, right: np.ndarray, scores: np.ndarray, threshold: float, offers: int) -> np.ndarray:
    matched = scores >= threshold
    return cluster(left[matched], right[matched], scores[matched], np.arange(offers), _LARGEST)


def _f1(products: np.ndarray, truth: np.ndarray, asked: np.ndarray) -> float:
    given, true, right = (counts[asked] for counts in cluster_counts(products, truth))
    return float(2 * right.sum() / max((given + true).sum(), 1))


PART = Part(side_by_side(measure_clustering, ["wdc_products"], TASK, "text"))
