"""Matching and clustering of the quality benchmark: planted products are found, and gains are paired by product."""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_training import TINY, TRAINER

from ecclip.bench.quality import Grouped, difference, group_by_vectors, kept, ratio
from ecclip.bench.quality.catalog_label import WITHOUT, label_variants
from ecclip.bench.quality.data import SETS
from ecclip.sample import SampleConfig
from ecclip.train import Labels, TrainerConfig


def _planted(noise: float) -> Grouped:
    """Group 120 listings of 60 products, every other one of a single listing, by vectors near the product's own."""
    chance = np.random.default_rng(0)
    products = np.repeat(np.arange(60), [1, 3] * 30)
    vectors = chance.normal(size=(60, 16))[products] + noise * chance.normal(size=(120, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    split = np.array(["train", "validation", "test"])[products // 2 % 3]
    return group_by_vectors(vectors.astype(np.float32), products, split)


def _f1(own: Grouped) -> float:
    return float(2 * own.right.sum() / (own.found + own.true).sum())


def test_products_that_the_vectors_show_are_found_and_others_are_not() -> None:
    clear, lost = _planted(0.01), _planted(20.0)
    assert len(clear.products) == 40
    assert np.isnan(clear.precision).sum() == 10, "a single listing has nothing to find"
    assert np.nanmin(clear.precision) == 1.0
    assert _f1(clear) == 1.0
    assert np.nanmean(lost.precision) < 0.4
    assert _f1(lost) < 0.4


def test_a_gain_is_paired_and_its_interval_resamples_whole_products() -> None:
    chance = np.random.default_rng(0)
    products = np.arange(50)
    before = chance.random(50)
    after = before + 0.1 + 0.01 * chance.random(50)
    ones = np.ones(50)
    assert difference((before, ones), (before, ones), products) == (0.0, 0.0, 0.0)
    value, low, high = difference((after, ones), (before, ones), products)
    assert 0.1 < low < value < high < 0.11, "the pairing takes away how much listings differ"
    assert ratio(after, ones, products)[2] - ratio(after, ones, products)[1] > 0.1
    again = difference((after.repeat(9), ones.repeat(9)), (before.repeat(9), ones.repeat(9)), products.repeat(9))
    assert np.allclose(again, (value, low, high), atol=1e-12), "nine equal listings of a product say no more than one"


def test_the_ablation_differs_in_what_training_is_told_about_groups_alone() -> None:
    recipe = TrainerConfig()
    variants = label_variants(recipe)
    assert recipe not in variants.values()
    assert {cfg.labels for cfg in (*variants.values(), recipe)} == set(Labels)
    blind = variants[WITHOUT]
    assert (blind.labels, blind.sampler.group_share, blind.sampler.distinct_groups) == (Labels.HARD, 0.0, False)
    for cfg in variants.values():
        sampler = replace(
            cfg.sampler, **{name: getattr(recipe.sampler, name) for name in ("group_share", "distinct_groups")}
        )
        assert replace(cfg, labels=recipe.labels, sampler=sampler) == recipe


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    first = kept(tmp_path / "a" / "one.npz", lambda: {"x": np.arange(3)})
    assert first["x"].tolist() == [0, 1, 2]
    assert kept(tmp_path / "a" / "one.npz", lambda: {"x": np.zeros(3)})["x"].tolist() == [0, 1, 2]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["one.npz"]


def _few(data: Path, folder: Path) -> Path:
    """Write the first rows of the public sets."""
    for name in SETS:
        (folder / name).mkdir(parents=True)
        photos = pq.read_table(data / name / "images.parquet").slice(0, 150)
        pq.write_table(photos, folder / name / "images.parquet")
        pq.write_table(pq.read_table(data / name / "listings.parquet"), folder / name / "listings.parquet")
    return folder


@pytest.mark.slow
@pytest.mark.spark
def test_the_benchmark_says_what_the_catalog_is_worth_as_a_label_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = Path(os.environ.get("ECCLIP_TEST_DATA", ""))
    if not (data / SETS[0]).is_dir():
        pytest.skip("ECCLIP_TEST_DATA names no folder with the public sets")
    night = SampleConfig.model_validate({"listings": 150, "nights": 1, "image_size": 96})
    recipe = replace(TRAINER, epochs=1)
    quality = importlib.import_module("ecclip.bench.pretrain_quality")
    variants = {"default": recipe, quality.SHORT: recipe, WITHOUT: label_variants(recipe)[WITHOUT]}
    arguments = (_few(data, tmp_path / "data"), tmp_path / "work", "ecclip bench quality", variants, TINY, night)
    result = quality.run(*arguments)
    assert {"cells_ahead", "cells_behind", "cells_fallback", "cells_total", "photo_size"} <= set(result.headline)
    assert {"catalog_label_gain_matching", "catalog_label_gain_clustering"} <= set(result.headline)
    systems = {row.system for row in result.rows if row.what.startswith("clustering, pairwise F1, both, hm_articles")}
    assert len(systems) == 3
    gains = [row for row in result.rows if row.what.startswith("gain of the catalog as label")]
    assert len(gains) == 2 * 2 * 3
    trained = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("towers.safetensors")}
    # of two trainings on two sets as the last step left them, and as each variant keeps them
    assert len(trained) == 2 * 2 + 3 + 2
    assert quality.run(*arguments).rows == result.rows
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
