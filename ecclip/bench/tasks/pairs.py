"""Matching of labelled pairs: three systems decide the same pairs, by thresholds that validation pairs choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecclip.bench.result import OURS
from ecclip.bench.tasks.cells import CHEAP, FROZEN, Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.offers import Offers, read_offers
from ecclip.bench.tasks.pair_sets import TEST, TRAIN, VALIDATION, PairSet, load_pair_set
from ecclip.bench.tasks.text_matched import text_matched
from ecclip.tasks.matching.pair_model import fit_pair_model

TASK, MODALITY = "matching", "text"
SETS = ("abt_buy", "amazon_google", "wdc_products", "wdc_products seen", "wdc_products second")
WITH_TEXTS = f"{OURS} with text matcher"
READ_SETS = ("abt_buy", "amazon_google", "wdc_products")  # what it is tried on: minutes each


def measure_matching(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return pair F1 and the mean F1 of queries: left offers of test pairs that have a match among them."""
    pairs = load_pair_set(data, cell.dataset)
    offers = read_offers(pairs.name, pairs.rows, pairs.table, work)
    held_out, test = pairs.within(VALIDATION), pairs.within(TEST)
    if cell.system == WITH_TEXTS:
        found = text_matched(pairs, offers)
        threshold = best_threshold(pairs.labels[held_out], found.held_out)
        read = Measured(found.read, np.ones(len(test)), pairs.products[pairs.left[test]])
        return judge(pairs, test, found.test >= threshold) | {"test pairs that are read": read}
    scores = scores_of(cell.system, pairs, offers, pairs.left, pairs.right)
    threshold = best_threshold(pairs.labels[held_out], scores[held_out])
    return judge(pairs, test, scores[test] >= threshold)


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the score from which on pairs [M] are matched with the best F1; the largest one of several."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(labels[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + labels.sum())
    last_of_score = np.append(scores[order][1:] != scores[order][:-1], True)  # equal scores are decided together
    return float(scores[order][np.argmax(np.where(last_of_score, f1, -1.0))])


def judge(pairs: PairSet, test: np.ndarray, matched: np.ndarray) -> dict[str, Measured]:
    """Return the figures of ``matched`` [T], the decisions about the pairs at the places ``test`` [T]."""
    labels, queries = pairs.labels[test], pairs.left[test]
    right = (labels == 1) & matched
    asked, place = np.unique(queries, return_inverse=True)
    hits, given, true = (np.bincount(place, part, len(asked)) for part in (right, matched, labels))
    with_match = true > 0
    per_query = 2.0 * hits[with_match] / (given + true)[with_match]
    return {
        "F1": Measured(2.0 * right, 1.0 * matched + labels, pairs.products[queries]),
        "mean F1 of queries with a match": Measured(
            per_query, np.ones(len(per_query)), pairs.products[asked[with_match]]
        ),
    }


def scores_of(system: str, pairs: PairSet, offers: Offers, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return what a system says of pairs of rows [M]; only split train of the set teaches it."""
    if system == CHEAP:
        return offers.word_cosines(left, right)
    if system == FROZEN:
        return offers.title_cosines(left, right)
    taught, count = pairs.within(TRAIN), len(left)
    every = [np.append(asked, side[taught]) for asked, side in ((left, pairs.left), (right, pairs.right))]
    evidence = offers.evidence(*every)
    model = fit_pair_model(
        evidence.part(np.arange(count, len(every[0]))), pairs.labels[taught], pairs.products[pairs.left[taught]]
    )
    assert model is not None  # every set has hundreds of matches
    return model.scores(evidence.part(np.arange(count)))


PART = Part(
    [
        *side_by_side(measure_matching, SETS, TASK, MODALITY),
        *side_by_side(measure_matching, READ_SETS, TASK, MODALITY, (WITH_TEXTS,)),
    ],
    headline={
        "abt_buy_f1": ("abt_buy", TASK, MODALITY, "F1"),
        "amazon_google_f1": ("amazon_google", TASK, MODALITY, "F1"),
        "wdc_half_seen_f1": ("wdc_products", TASK, MODALITY, "F1"),
    },
    published={
        ("abt_buy", TASK, MODALITY, "F1"): ("R-SupCon, full train (cited)", 0.943, 1916),
        ("amazon_google", TASK, MODALITY, "F1"): ("R-SupCon, full train (cited)", 0.793, 2293),
        ("wdc_products", TASK, MODALITY, "F1"): ("best of three published systems (cited)", 0.755, 4500),
    },
)
