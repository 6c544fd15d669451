"""What the shop says itself teaches the pair decision: listings of one catalog_id are one product, of two are two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ecclip.tasks.config import MatchingConfig
from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.matching.candidates import Pairs
from ecclip.tasks.matching.evidence import Evidence
from ecclip.tasks.matching.pair_model import PairModel, fit_pair_model
from ecclip.tasks.matching.refining import Labelled, Refined, Trial, refine
from ecclip.tasks.report.metrics import threshold_at

if TYPE_CHECKING:
    from ecclip.tasks.matching.text_matcher.matcher import TextMatcher


@dataclass(frozen=True)
class Taught:
    """A pair model, and the probability from which two listings match; 2.0, above every one, where none is proven.

    ``trial`` is what validation says of a text matcher, None where there is none.
    """

    model: PairModel | None
    threshold: float
    train_pairs: int
    validation_pairs: int
    trial: Trial | None = None

    @property
    def refined(self) -> Refined | None:
        """The decision with the text matcher, None where it does not pay."""
        return self.trial.refined if self.trial is not None and self.trial.pays else None

    def scores(self, evidence: Evidence, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of one product, float32 [M], and the places of the pairs that were read [K]."""
        if self.refined is not None:
            return self.refined.scores(evidence, *pairs)
        found = np.zeros(len(pairs[0]), np.float32) if self.model is None else self.model.scores(evidence)
        return found, np.zeros(0, dtype=np.int64)

    def said_of_matcher(self, read: int) -> dict[str, Any]:
        """Return what the report of the stage says of a text matcher that has ``read`` so many pairs of the night."""
        if self.trial is None:
            return {"used": False, "train_pairs": 0, "read_pairs": 0}
        names = ("validation_log_loss_without", "validation_log_loss")
        losses = {name: round(loss, 6) for name, loss in zip(names, self.trial.log_losses, strict=True)}
        return {"used": self.trial.pays, "train_pairs": self.trial.train_pairs, "read_pairs": read, **losses}


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


def teach(
    evidence: Evidence,
    pairs: Pairs,
    shop: Shop,
    cfg: MatchingConfig,
    matcher: TextMatcher | None = None,
    seed: int = 0,
) -> Taught:
    """Fit the pair model on train listings and find its threshold on validation listings.

    Only pairs that grouping does not join without the catalog_id count: those are what is left to decide, and among
    them wrong ones are as frequent as among all that have no catalog_id. The threshold is the smallest with the wanted
    precision over at least ``min_pairs`` validation pairs; neither may be in test.

    Args:
        evidence: of the pairs.
        pairs: row numbers [M].
        shop: what is known of the listings.
        cfg: the wanted precision, and how many pairs prove it.
        matcher: learns from the same train pairs, and is used where it lowers the log loss of the validation pairs.
        seed: of the model.
    """
    left, right = pairs
    asked = (shop.catalog[left] >= 0) & (shop.catalog[right] >= 0) & (shop.found[left] != shop.found[right])
    labels = (shop.catalog[left] == shop.catalog[right]).astype(np.int64)
    splits = shop.split[left], shop.split[right]
    train = asked & (splits[0] == "train") & (splits[1] == "train")
    held_out = asked & _any_validation(*splits) & (splits[0] != "test") & (splits[1] != "test")
    lesson, check = (
        Labelled(evidence.part(part), left[part], right[part], labels[part], shop.catalog[left[part]])
        for part in (train, held_out)
    )
    model = fit_pair_model(lesson.evidence, lesson.labels, lesson.products, seed)
    trial = None if model is None or matcher is None else refine(model, lesson, check, matcher)
    taught = Taught(model, NEVER_AUTO, int(train.sum()), int(held_out.sum()), trial)
    if model is None:
        return taught
    scores = trial.scores if trial is not None and trial.pays else model.scores(check.evidence)
    return replace(taught, threshold=threshold_at(scores, check.labels, cfg.precision, cfg.min_pairs))


def groups_of(left: np.ndarray, right: np.ndarray, listings: int) -> np.ndarray:
    """Return the number of the connected component of every listing [N] by edges ``left``, ``right`` [M]."""
    graph = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), (listings, listings))
    return np.asarray(connected_components(graph, directed=False)[1])


def _any_validation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.isin(one, ("validation", "thresholds")) | np.isin(other, ("validation", "thresholds")))
