"""Every measure against a plain loop or scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.metrics import (
    Bootstrap,
    average_precision,
    calibration_error,
    macro_f1,
    recall_at,
    reliability,
    threshold_at,
)

CHANCE = np.random.default_rng(0)


def plain_calibration_error(confidence: list[float], correct: list[bool], bins: int) -> float:
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            index
            for index, score in enumerate(confidence)
            if low <= score < high or (number == bins - 1 and score == 1.0)
        ]
        if inside:
            accuracy = sum(correct[index] for index in inside) / len(inside)
            mean = sum(confidence[index] for index in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - mean)
    return error


@pytest.mark.parametrize("bins", [2, 8, 16])
def test_calibration_error_equals_a_plain_loop(bins: int) -> None:
    confidence = np.append(CHANCE.random(200), [0.0, 0.5, 1.0])
    correct = CHANCE.random(203) < confidence**2
    expected = plain_calibration_error(confidence.tolist(), correct.tolist(), bins)
    assert calibration_error(confidence, correct, bins) == pytest.approx(expected, abs=1e-12)
    assert sum(entry.rows for entry in reliability(confidence, correct, bins)) == 203


def plain_threshold(scores: list[float], correct: list[bool], precision: float, min_rows: int) -> float:
    for candidate in sorted(set(scores)):
        chosen = [right for score, right in zip(scores, correct, strict=True) if score >= candidate]
        if len(chosen) >= min_rows and sum(chosen) / len(chosen) >= precision:
            return candidate
    return 2.0


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("precision", [0.6, 0.9, 1.0])
def test_threshold_is_the_smallest_that_keeps_the_precision(seed: int, precision: float) -> None:
    chance = np.random.default_rng(seed)
    scores = np.round(chance.random(60), 1)  # many equal scores
    correct = chance.random(60) < scores
    found = threshold_at(scores, correct, precision, 5)
    assert found == plain_threshold(scores.tolist(), correct.tolist(), precision, 5)


def test_threshold_fails_closed() -> None:
    assert threshold_at(np.array([0.9, 0.8]), np.array([False, False]), 0.9, 1) == 2.0
    assert threshold_at(np.array([0.9, 0.8]), np.array([True, True]), 0.9, 3) == 2.0
    assert threshold_at(np.zeros(0), np.zeros(0, bool), 0.9, 1) == 2.0


def test_weights_keep_missed_flags_from_hiding() -> None:
    scores, correct = np.linspace(0.6, 0.99, 100), np.arange(100) >= 2
    weights = np.where(correct, 1.0, 49.0)  # two wrong answers about the rare side
    assert threshold_at(scores, correct, 0.95, 5) == scores[0]
    assert threshold_at(scores, correct, 0.95, 5, weights) == scores[2]


def test_macro_f1_equals_scikit_learn() -> None:
    truth, answer = CHANCE.integers(-1, 6, 300), CHANCE.integers(0, 8, 300)
    expected = f1_score(truth, answer, labels=np.unique(truth), average="macro", zero_division=0)
    assert macro_f1(truth, answer) == pytest.approx(expected)
    times = CHANCE.integers(0, 3, 300)
    repeated = f1_score(
        truth.repeat(times), answer.repeat(times), labels=np.unique(truth), average="macro", zero_division=0
    )
    assert macro_f1(truth, answer, times.astype(float)) == pytest.approx(repeated)


def test_average_precision_equals_scikit_learn_and_is_nan_without_a_yes() -> None:
    truth, scores = (CHANCE.random(200) < 0.2).astype(float), CHANCE.random(200)
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))
    assert np.isnan(average_precision(np.zeros(5), scores[:5]))
    assert np.isnan(average_precision(truth, scores, np.where(truth == 1, 0.0, 1.0)))


def test_recall_at_precision() -> None:
    truth, scores = np.array([1, 1, 0, 1, 0, 0.0]), np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert recall_at(truth, scores, 1.0) == pytest.approx(2 / 3)
    assert recall_at(truth, scores, 0.75) == 1.0
    assert recall_at(truth, -scores, 0.9) == 0.0


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        hits = (np.random.default_rng(seed).random(120) < 0.7).astype(float)
        low, high = Bootstrap(np.arange(120), 200, seed).mean(hits)
        covered += low <= 0.7 <= high
    assert 0.87 <= covered / 200 <= 0.99


def test_listings_of_one_group_are_not_counted_as_independent() -> None:
    one_each = np.repeat((np.random.default_rng(0).random(40) < 0.5).astype(float), 10)
    low, high = Bootstrap(np.repeat(np.arange(40), 10), 300, 0).mean(one_each)
    alone_low, alone_high = Bootstrap(np.arange(400), 300, 0).mean(one_each)
    assert high - low > 2 * (alone_high - alone_low)


def test_weighted_and_ratio_intervals_agree() -> None:
    groups, hits = CHANCE.integers(0, 30, 100), (CHANCE.random(100) < 0.4).astype(float)
    resample = Bootstrap(groups, 100, 0)
    weighted = resample.weighted(lambda values, weights: float((values * weights).sum() / weights.sum()), hits)
    assert resample.mean(hits) == pytest.approx(weighted)


def test_a_figure_that_is_not_a_number_is_missing() -> None:
    findings = Findings()
    findings.add("a/b/c", float("nan"))
    findings.add("a/b/d", 0.5, (float("nan"), 1.0))
    assert findings.metrics == {"a/b/d": 0.5}
    assert findings.intervals == {}
    assert list(findings.missing) == ["a/b/c"]
