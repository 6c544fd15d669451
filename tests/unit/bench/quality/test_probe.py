"""The quality benchmark: what ties listings together never crosses the splits, and a probe sees what is there."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from ecclip.bench.quality.data import SETS, load_products, write_shards
from ecclip.bench.quality.probe import interval, probe_hits
from ecclip.train import open_pairs


def _rows(chance: np.random.Generator, count: int, shown: bool) -> tuple[np.ndarray, list[str | None]]:
    codes = chance.integers(0, 3, count)
    features = chance.normal(size=(count, 8)).astype(np.float32)
    if shown:
        features[np.arange(count), codes] += 4
    return features, [f"class {code}" for code in codes]


@pytest.mark.parametrize(("shown", "low", "high"), [(True, 0.95, 1.0), (False, 0.15, 0.55)])
def test_a_probe_finds_what_the_features_show_and_nothing_else(shown: bool, low: float, high: float) -> None:
    chance = np.random.default_rng(0)
    rows = {split: _rows(chance, count, shown) for split, count in (("train", 300), ("validation", 60), ("test", 200))}
    hits = probe_hits({name: one[0] for name, one in rows.items()}, {name: one[1] for name, one in rows.items()})
    assert len(hits) == 200
    assert low <= hits.mean() <= high


def test_a_rare_class_and_a_missing_label_are_left_out_of_the_probe() -> None:
    chance = np.random.default_rng(1)
    rows = {split: _rows(chance, 100, True) for split in ("train", "validation", "test")}
    rows["train"][1][:3] = ["rare"] * 3
    rows["test"][1][:5] = ["rare", None, "rare", None, None]
    hits = probe_hits({name: one[0] for name, one in rows.items()}, {name: one[1] for name, one in rows.items()})
    assert len(hits) == 95


def test_an_interval_holds_the_mean_and_shrinks_with_the_rows() -> None:
    chance = np.random.default_rng(2)
    few, many = (interval(chance.random(count) < 0.7) for count in (50, 5000))
    for mean, low, high in (few, many):
        assert low < mean < high
    assert many[2] - many[1] < (few[2] - few[1]) / 5


def test_real_listings_that_share_anything_are_in_one_split(tmp_path: Path) -> None:
    folder = os.environ.get("ECCLIP_TEST_DATA")
    if folder is None or not all((Path(folder) / name / "images.parquet").is_file() for name in SETS):
        pytest.skip(f"ECCLIP_TEST_DATA names no folder with {', '.join(SETS)}")
    products = load_products(Path(folder))
    assert len(products) > 11_000
    splits = defaultdict(set)
    for one in products:
        for key in one.keys:
            splits[key].add(one.split)
    assert {len(own) for own in splits.values()} == {1}
    shares = {split: sum(one.split == split for one in products) / len(products) for split in ("train", "test")}
    assert 0.6 < shares["train"] < 0.85
    assert 0.1 < shares["test"] < 0.25
    write_shards(products[:40], tmp_path / "shards")
    pairs = open_pairs(tmp_path / "shards", tmp_path)
    assert pairs[39].title == products[39].title
    pairs.close()
