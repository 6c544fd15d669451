"""Batches are a pure function of (seed, epoch, step); nothing here sorts an order before comparing it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ecclip.errors import ConfigError
from ecclip.train import SamplerConfig, plan_epoch, plan_training

GROUPS = np.repeat(np.arange(40), [1 + number % 4 for number in range(40)])
CATEGORIES = np.arange(len(GROUPS)) // 20
CFG = SamplerConfig(batch_size=16, group_share=0.0, hard_negative_share=0.5, cluster_size=4)


def test_equal_seed_and_epoch_give_the_equal_order_and_others_another() -> None:
    first = np.stack(plan_epoch(GROUPS, CATEGORIES, CFG, seed=3, epoch=1))
    assert np.array_equal(first, np.stack(plan_epoch(GROUPS, CATEGORIES, CFG, seed=3, epoch=1)))
    assert not np.array_equal(first, np.stack(plan_epoch(GROUPS, CATEGORIES, CFG, seed=3, epoch=2)))
    assert not np.array_equal(first, np.stack(plan_epoch(GROUPS, CATEGORIES, CFG, seed=4, epoch=1)))


def test_the_order_is_the_one_that_earlier_releases_drew() -> None:
    plan = np.stack(plan_epoch(GROUPS, CATEGORIES, CFG, seed=0, epoch=0)).astype("<i8")
    assert hashlib.sha256(plan.tobytes()).hexdigest()[:16] == "6ead888e56a329bb"


@pytest.mark.parametrize("epoch", range(5))
def test_no_batch_has_two_listings_of_a_group_and_no_row_comes_twice(epoch: int) -> None:
    plan = plan_epoch(GROUPS, CATEGORIES, CFG, seed=0, epoch=epoch)
    assert len(GROUPS) // 16 - 1 <= len(plan) <= len(GROUPS) // 16
    rows = np.concatenate(plan)
    assert len(set(rows.tolist())) == len(rows)
    for batch in plan:
        assert batch.shape == (16,)
        assert batch.dtype == np.int64
        assert len(set(GROUPS[batch].tolist())) == 16


def test_every_row_is_seen_within_a_few_epochs() -> None:
    seen = {
        row for epoch in range(6) for batch in plan_epoch(GROUPS, CATEGORIES, CFG, 0, epoch) for row in batch.tolist()
    }
    assert seen == set(range(len(GROUPS)))


TOGETHER = replace(CFG, group_share=0.5, listings_per_group=3)


def _companions(batch: np.ndarray) -> int:
    """Return how many rows of a batch have another row of their group beside them."""
    _, codes, counts = np.unique(GROUPS[batch], return_inverse=True, return_counts=True)
    return int((counts[codes] > 1).sum())


@pytest.mark.parametrize("epoch", range(3))
def test_listings_of_a_group_come_together_up_to_the_share_that_is_wanted(epoch: int) -> None:
    plan = plan_epoch(GROUPS, CATEGORIES, TOGETHER, seed=0, epoch=epoch)
    assert all(len(batch) == 16 for batch in plan)
    assert len(GROUPS) // 16 - 1 <= len(plan)
    rows = np.concatenate(plan)
    assert len(set(rows.tolist())) == len(rows)
    together = sum(_companions(batch) for batch in plan)
    assert 0.4 * len(GROUPS) <= together <= 0.5 * len(GROUPS)
    for batch in plan:
        assert max(Counter(GROUPS[batch].tolist()).values()) <= 3


def test_no_more_come_together_than_the_groups_hold() -> None:
    groups = np.concatenate([np.arange(60), [0, 1, 2]])
    plan = plan_epoch(groups, np.zeros(63, dtype=np.int64), replace(TOGETHER, group_share=1.0), 0, 0)
    assert len(plan) == 3
    assert sum(len(batch) - len(set(groups[batch].tolist())) for batch in plan) <= 3


def test_pairs_that_do_not_fill_an_odd_batch_are_parted() -> None:
    groups = np.repeat(np.arange(30), 2)
    cfg = SamplerConfig(batch_size=15, group_share=1.0, distinct_groups=False)
    plan = plan_epoch(groups, np.zeros(60, dtype=np.int64), cfg, seed=0, epoch=0)
    assert [len(batch) for batch in plan] == [15] * 4
    assert sorted(np.concatenate(plan).tolist()) == list(range(60))
    assert all(len(set(groups[batch].tolist())) == 8 for batch in plan)


def test_groups_that_come_together_differ_from_epoch_to_epoch_alone() -> None:
    first = np.stack(plan_epoch(GROUPS, CATEGORIES, TOGETHER, seed=3, epoch=1))
    assert np.array_equal(first, np.stack(plan_epoch(GROUPS, CATEGORIES, TOGETHER, seed=3, epoch=1)))
    assert not np.array_equal(first, np.stack(plan_epoch(GROUPS, CATEGORIES, TOGETHER, seed=3, epoch=2)))


def test_groups_may_meet_when_that_is_wanted() -> None:
    plan = plan_epoch(GROUPS, CATEGORIES, SamplerConfig(batch_size=16, distinct_groups=False), 0, 0)
    assert any(len(set(GROUPS[batch].tolist())) < 16 for batch in plan)


def test_neighbours_put_more_pairs_of_one_category_into_a_batch() -> None:
    categories = np.arange(2000) % 100

    def same_category(share: float) -> float:
        plan = plan_epoch(np.arange(2000), categories, SamplerConfig(batch_size=50, hard_negative_share=share), 0, 0)
        return float(np.mean([50 - len(set(categories[batch].tolist())) for batch in plan]))

    assert same_category(0.8) > same_category(0.0) + 8


def test_fewer_rows_than_a_batch_make_one_smaller_batch_and_one_group_makes_none() -> None:
    assert [len(batch) for batch in plan_epoch(np.arange(5), np.zeros(5), CFG, 0, 0)] == [5]
    assert plan_epoch(np.zeros(5, dtype=np.int64), np.zeros(5), CFG, 0, 0) == []
    assert plan_epoch(np.zeros(0, dtype=np.int64), np.zeros(0), CFG, 0, 0) == []


def test_batches_double_to_their_full_size_over_the_ramp() -> None:
    cfg = SamplerConfig(batch_size=64, first_batch_size=16, ramp_share=0.5)
    plan = plan_training(np.arange(640), np.zeros(640, dtype=np.int64), cfg, seed=0, epochs=4)
    sizes = [len(rows) for _, rows in plan]
    assert sizes == sorted(sizes)
    assert set(sizes) == {16, 32, 64}
    for size in (16, 32):
        seen = sum(one for one in sizes if one == size)
        assert abs(seen - 640) <= 64, "each smaller size gets a quarter of the pairs: half the ramp of half of four"
    for epoch in range(4):
        rows = np.concatenate([rows for number, rows in plan if number == epoch])
        assert len(set(rows.tolist())) == len(rows) >= 640 - 64


def test_without_a_ramp_a_training_is_its_epochs() -> None:
    plan = plan_training(GROUPS, CATEGORIES, CFG, seed=3, epochs=2)
    for epoch in range(2):
        own = [rows for number, rows in plan if number == epoch]
        assert np.array_equal(np.stack(own), np.stack(plan_epoch(GROUPS, CATEGORIES, CFG, 3, epoch)))


@pytest.mark.parametrize("first", [1, 17])
def test_a_first_batch_that_does_not_fit_is_an_error(first: int) -> None:
    with pytest.raises(ConfigError, match="first_batch_size"):
        SamplerConfig(batch_size=16, first_batch_size=first)
