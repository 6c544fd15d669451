"""The operating point of a flag: at most the stated share of negatives, bounded, and never `auto` beyond the proof."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from ecclip.tasks.operating_point import operating_point, within_point
from ecclip.tasks.scores import is_auto


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_loosest_that_keeps_the_rate(rate: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    truth = (chance.random(900) < 0.1).astype(np.int64)
    scores = np.round(chance.beta(1 + 4 * truth, 4 - 2 * truth), 2)  # with ties
    found = operating_point(scores, truth, np.arange(900), rate)
    negatives = scores[truth == 0]
    assert found.measured
    assert found.negatives == len(negatives)
    assert found.false_positive_rate == (negatives >= found.score).mean() <= rate
    looser = negatives[negatives < found.score].max()
    assert (negatives >= looser).mean() > rate
    assert found.recall == (scores[truth == 1] >= found.score).mean()
    wrong = int((negatives >= found.score).sum())
    assert found.at_most == pytest.approx(beta.ppf(0.95, wrong + 1, len(negatives) - wrong))


def test_few_negatives_leave_it_at_an_even_chance_and_say_so() -> None:
    scores, truth = np.linspace(0, 1, 60), np.r_[np.zeros(50), np.ones(10)].astype(np.int64)
    found = operating_point(scores, truth, np.arange(60), 0.01)
    assert (found.score, found.measured) == (0.5, False)
    assert operating_point(np.zeros(0), np.zeros(0), np.zeros(0), 0.01).at_most is None


def test_listings_of_one_product_prove_no_more_than_one() -> None:
    scores, truth = np.random.default_rng(0).random(400), np.zeros(400, np.int64)
    alone, together = (operating_point(scores, truth, groups, 0.05) for groups in (np.arange(400), np.arange(400) // 8))
    assert alone.score == together.score
    assert alone.at_most is not None
    assert together.at_most is not None
    assert alone.at_most < together.at_most


@pytest.mark.parametrize("point", [0.02, 0.5, 0.97])
def test_auto_needs_the_proof_and_the_point_to_agree(point: float) -> None:
    scores = np.linspace(0, 1, 101)[:, None]
    thresholds = within_point(0.8, point)
    auto = is_auto(scores, np.array([thresholds[0], thresholds[1]]), "sigmoid")
    yes, flagged = scores[:, 0] >= 0.5, scores[:, 0] >= point
    proven = np.maximum(scores[:, 0], 1 - scores[:, 0]) >= 0.8
    np.testing.assert_array_equal(auto, proven & (yes == flagged))
