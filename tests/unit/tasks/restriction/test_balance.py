"""A flag whose listings are photographed alike: weights that take the background out of it, and when they serve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecclip.tasks import EvaluateConfig, Rows, train_heads
from ecclip.tasks.kinds import Target
from ecclip.tasks.restriction.balance import strata_of, weights_of

LISTINGS = 900
CFG = EvaluateConfig(heads={"regularisation": (0.1,), "fusion": "joint"})


def test_under_the_weights_a_flag_is_as_frequent_in_every_stratum_as_in_all() -> None:
    chance = np.random.default_rng(0)
    strata = chance.integers(-1, 5, 4000)
    strata[:40] = 5  # a stratum of negatives alone
    y = (chance.random(4000) < 0.1 + 0.1 * strata.clip(0, 4)).astype(np.int64)
    y[:40] = 0
    weights = weights_of(strata, y)
    for stratum in range(5):
        inside = strata == stratum
        assert np.average(y[inside], weights=weights[inside]) == pytest.approx(y.mean())
    assert (weights[(strata == -1) | (strata == 5)] == 1).all()


def test_photos_fall_into_strata_by_the_light_of_their_borders_and_others_into_none() -> None:
    light, deviation = np.array([0, 10, 120, 130, 250, 255.0, 255.0]), np.array([1, 30, 1, 30, 1, 30, 30.0])
    backgrounds = np.stack([light, deviation], axis=1)
    backgrounds[-1] = np.nan
    strata = strata_of(backgrounds, np.ones(7, dtype=bool))
    assert strata.tolist()[-1] == -1
    assert len({*strata.tolist()[:-1]}) == 6
    assert (strata_of(np.full((3, 2), np.nan), np.ones(3, dtype=bool)) == -1).all()


def shop(product: float) -> tuple[Rows, Target]:
    """Return listings of whose photos one number tells the product, ``product`` times as strongly as it is noisy, and
    another the background: most of the class, and few others, stand before a light one.
    """
    chance = np.random.default_rng(1)
    y = (np.arange(LISTINGS) % 3 == 0).astype(np.int64)
    light = chance.random(LISTINGS) < np.where(y == 1, 0.9, 0.1)
    image = chance.normal(size=(LISTINGS, 4))
    image[:, 0] += product * (2 * y - 1)
    image[:, 1] = 2.0 * light + 0.3 * image[:, 1]
    split = np.array(["train", "train", "train", "validation", "thresholds", "test"])[np.arange(LISTINGS) // 3 % 6]
    ids = np.array([f"{number:04d}" for number in range(LISTINGS)], dtype=object)
    rows = Rows(
        listing_ids=ids,
        titles=ids.tolist(),
        given={},
        groups=np.arange(LISTINGS),
        split=split,
        image=image.astype(np.float32),
        text=np.full((LISTINGS, 4), np.nan, np.float32),
        backgrounds=np.stack([np.where(light, 250.0, 40.0), chance.random(LISTINGS)], axis=1).astype(np.float32),
    )
    return rows, Target("age_restricted", "age:wine", "sigmoid", ["wine"], y, rate=0.05)


def background_counts(rows: Rows, target: Target) -> tuple[float, bool | None]:
    """Return by how much a light background moves the photo's head, of what the product does; and whether weighed."""
    trained = train_heads(rows, [target], CFG)
    weight = trained.heads.weight[0, :, 0]
    balance = trained.balances.get((target.name, "image"))
    return float(weight[1] / weight[0]), None if balance is None else balance.is_kept


def test_weighed_negatives_serve_where_validation_loses_nothing_and_the_background_tells_less() -> None:
    rows, target = shop(product=3.0)
    unguarded, nothing = background_counts(replace(rows, backgrounds=None), target)
    guarded, is_kept = background_counts(rows, target)
    assert (nothing, is_kept) == (None, True)
    assert guarded < unguarded / 2


def test_where_the_background_is_nearly_all_there_is_listings_serve_as_they_are() -> None:
    rows, target = shop(product=0.3)
    unguarded, _ = background_counts(replace(rows, backgrounds=None), target)
    assert background_counts(rows, target) == (pytest.approx(unguarded), False)


def test_a_flag_without_an_operating_point_is_left_alone() -> None:
    rows, target = shop(product=3.0)
    assert background_counts(rows, replace(target, rate=0.0))[1] is None
