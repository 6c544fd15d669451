"""Labelled pairs of a public set by the pair decision with a text matcher: taught, tried and used as in a night."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecclip.bench.tasks.offers import Offers
from ecclip.bench.tasks.pair_sets import TEST, TRAIN, VALIDATION, PairSet
from ecclip.core import get_logger
from ecclip.model import TowersConfig, build_towers
from ecclip.tasks.config import TextMatcherConfig
from ecclip.tasks.matching.pair_model import fit_pair_model
from ecclip.tasks.matching.refining import Labelled, refine
from ecclip.tasks.matching.text_matcher.matcher import TextMatcher, half_of

# ten minutes of two cores a set at most
_PARAMETERS = TextMatcherConfig(train_pairs=3000, read_pairs=2000)


@dataclass(frozen=True)
class TextMatched:
    """Probabilities of the validation pairs [V] and of the test pairs [T], and which of the latter were read [T]."""

    held_out: np.ndarray
    test: np.ndarray
    read: np.ndarray


def text_matched(pairs: PairSet, offers: Offers) -> TextMatched:
    """Return what the pair decision says with a text matcher, where validation is better with it, else without.

    Split train teaches both.
    """
    lesson, check, asked = _labelled(pairs, offers)
    model = fit_pair_model(lesson.evidence, lesson.labels, lesson.products)
    assert model is not None  # every set has hundreds of matches
    halves = np.array([half_of(str(product)) for product in pairs.products.tolist()])
    matcher = TextMatcher(pairs.rows, halves, build_towers(TowersConfig()), _PARAMETERS)
    trial = refine(model, lesson, check, matcher)
    read = np.zeros(len(asked.labels))
    if trial is not None:
        get_logger().info("a text matcher was tried", pairs=trial.train_pairs, log_losses=trial.log_losses)
    if trial is None or not trial.pays:
        return TextMatched(model.scores(check.evidence), model.scores(asked.evidence), read)
    scores, places = trial.refined.scores(asked.evidence, asked.left, asked.right)
    read[places] = 1
    return TextMatched(trial.scores, scores, read)


def _labelled(pairs: PairSet, offers: Offers) -> list[Labelled]:
    """Return the pairs of train, validation and test."""
    parts = [pairs.within(split) for split in (TRAIN, VALIDATION, TEST)]
    every = np.concatenate(parts)
    evidence = offers.evidence(pairs.left[every], pairs.right[every])
    places = np.split(np.arange(len(every)), np.cumsum([len(part) for part in parts])[:-1])
    products = pairs.products[pairs.left]
    return [
        Labelled(evidence.part(own), pairs.left[part], pairs.right[part], pairs.labels[part], products[part])
        for own, part in zip(places, parts, strict=True)
    ]
