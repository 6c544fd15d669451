"""What the shop says itself teaches the pair decision: listings of one catalog_id are one product, of two are two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ecclip.tasks.config import MatchingConfig
from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.matching.candidates import Pairs
from ecclip.tasks.matching.evidence import Evidence
from ecclip.tasks.matching.pair_model import PairModel, fit_pair_model
from ecclip.tasks.report.metrics import threshold_at


@dataclass(frozen=True)
class Taught:
    """A pair model, and the probability from which two listings match; 2.0, above every one, where none is proven."""

    model: PairModel | None
    threshold: float
    train_pairs: int
    validation_pairs: int


@dataclass(frozen=True)
class Shop:
    """What is known of N listings beside what they are compared by.

    Attributes:
        catalog: number of the shop's catalog_id [N], -1 without one.
        found: number of the group that is found without the catalog_id [N].
        split: train, validation, thresholds or test [N].
    """

    catalog: np.ndarray
    found: np.ndarray
    split: np.ndarray


def teach(evidence: Evidence, pairs: Pairs, shop: Shop, cfg: MatchingConfig, seed: int = 0) -> Taught:
    """Fit the pair model on train listings and find its threshold on validation listings.

    Only pairs that grouping does not join without the catalog_id count: those are what is left to decide, and among
    them wrong ones are as frequent as among all that have no catalog_id. The threshold is the smallest with the wanted
    precision over at least ``min_pairs`` validation pairs; neither may be in test.

    Args:
        evidence: of the pairs.
        pairs: row numbers [M].
        shop: what is known of the listings.
        cfg: the wanted precision, and how many pairs prove it.
        seed: of the model.
    """
    left, right = pairs
    asked = (shop.catalog[left] >= 0) & (shop.catalog[right] >= 0) & (shop.found[left] != shop.found[right])
    labels = (shop.catalog[left] == shop.catalog[right]).astype(np.int64)
    splits = shop.split[left], shop.split[right]
    train = asked & (splits[0] == "train") & (splits[1] == "train")
    held_out = asked & _any_validation(*splits) & (splits[0] != "test") & (splits[1] != "test")
    model = fit_pair_model(evidence.part(train), labels[train], shop.catalog[left[train]], seed)
    threshold = NEVER_AUTO
    if model is not None:
        threshold = threshold_at(model.scores(evidence.part(held_out)), labels[held_out], cfg.precision, cfg.min_pairs)
    return Taught(model, threshold, int(train.sum()), int(held_out.sum()))


def groups_of(left: np.ndarray, right: np.ndarray, listings: int) -> np.ndarray:
    """Return the number of the connected component of every listing [N] by edges ``left``, ``right`` [M]."""
    graph = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), (listings, listings))
    return np.asarray(connected_components(graph, directed=False)[1])


def _any_validation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.isin(one, ("validation", "thresholds")) | np.isin(other, ("validation", "thresholds")))
