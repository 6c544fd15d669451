"""Bounds of a precision against scipy's exact ones, and what counts as one answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from ecclip.tasks.guarantee import (
    broken_promises,
    chance_if_kept,
    effective_rows,
    effective_rows_so_far,
    error_at_most,
    precision_at_most,
    rows_for_proof,
)


@pytest.mark.parametrize(("wrong", "rows"), [(0, 59), (1, 93), (3, 40), (40, 40), (0, 1)])
def test_the_bound_of_an_error_is_the_exact_one(wrong: int, rows: int) -> None:
    exact = binomtest(wrong, rows, alternative="less").proportion_ci(0.95, "exact").high
    assert float(error_at_most(np.array(wrong), np.array(rows))) == pytest.approx(exact, abs=1e-12)


def test_fifty_nine_right_answers_prove_the_usual_promise_and_fifty_eight_do_not() -> None:
    assert rows_for_proof(0.95, 0.95) == 59
    assert rows_for_proof(1.0, 0.95) == float("inf")
    bounds = error_at_most(np.zeros(3), np.array([58, 59, 60]))
    assert (bounds <= 0.05).tolist() == [False, True, True]
    assert float(error_at_most(np.array(0), np.array(0))) == 1.0


@pytest.mark.parametrize(("right", "rows"), [(90, 100), (17, 20), (100, 100), (0, 3)])
def test_a_promise_is_refuted_where_its_chance_is_below_one_in_twenty(right: int, rows: int) -> None:
    bound = precision_at_most(right, rows)
    exact = binomtest(right, rows, alternative="less").proportion_ci(0.95, "exact").high
    assert bound == pytest.approx(exact, abs=1e-12)
    for promise in (0.5, 0.9, 0.95, 0.97):
        chance = chance_if_kept(right, rows, promise)
        assert chance == pytest.approx(binomtest(right, rows, promise, "less").pvalue, abs=1e-12)
        assert (chance < 0.05) == (bound < promise)


def test_without_answers_nothing_speaks_against_a_promise() -> None:
    assert (precision_at_most(0, 0), chance_if_kept(0, 0, 0.95)) == (1.0, 1.0)


def test_answers_of_one_product_count_as_one_and_each_alone_as_itself() -> None:
    assert effective_rows(np.arange(7)) == 7
    assert effective_rows(np.zeros(7)) == 1
    assert effective_rows(np.zeros(0)) == 0
    assert effective_rows(np.repeat(np.arange(5), 4)) == 5
    uneven = np.array([3, 3, 3, 1, 2])
    assert effective_rows(uneven) == pytest.approx(25 / (9 + 1 + 1))


def test_effective_rows_of_every_beginning_are_those_counted_one_by_one() -> None:
    groups = np.random.default_rng(0).integers(0, 12, 80)
    expected = [effective_rows(groups[: count + 1]) for count in range(len(groups))]
    assert effective_rows_so_far(groups) == pytest.approx(expected)
    assert len(effective_rows_so_far(groups[:0])) == 0


def test_of_many_promises_those_are_broken_that_chance_does_not_explain() -> None:
    assert broken_promises({"a": 0.001, "b": 0.03, "c": 0.4}) == ["a"]
    assert broken_promises({"a": 0.001, "b": 0.02, "c": 0.04}) == ["a", "b", "c"]
    assert broken_promises({"a": 0.04}) == ["a"]
    assert broken_promises({"a": 0.04, "b": 0.04}) == []
    assert broken_promises({}) == []
