"""Cells of sets with photos: answers are judged as plain loops do, the cheap system learns, splits do not leak."""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import TINY, TRAINER

from ecclip.bench.quality.data import Product, write_shards
from ecclip.bench.quality.evaluated import target_of
from ecclip.bench.tasks.photos import labels
from ecclip.bench.tasks.photos.cheap import cheap_answers
from ecclip.bench.tasks.photos.shops import shop_of
from ecclip.bench.tasks.photos.supervised import fine_tuned
from ecclip.model import build_towers

_COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
_NONE = -1


def _listings(count: int) -> Iterator[Product]:
    chance = np.random.default_rng(0)
    for number in range(count):
        name = list(_COLOURS)[number % 3]
        noise = chance.integers(-25, 26, (40, 40, 3))
        buffer = io.BytesIO()
        Image.fromarray(np.clip(noise + _COLOURS[name], 0, 255).astype(np.uint8)).save(buffer, "JPEG")
        split = ("train", "train", "validation", "test")[number // 3 % 4]
        said = {"colour": name, "category": name}
        yield Product(f"l{number}", "set", f"a {name} shirt", {}, said, (), buffer.getvalue(), f"g{number}", split)


@pytest.fixture(scope="module")
def listings() -> list[Product]:
    return list(_listings(120))


@pytest.mark.parametrize("modality", ["image", "text", "both"])
def test_the_cheap_system_learns_what_is_plain_to_see(listings: list[Product], modality: str) -> None:
    split, target = np.array([one.split for one in listings]), target_of(listings, "colour", _NONE)
    answers = cheap_answers(listings, split, target, modality)
    found = labels.judge(answers, modality, target, np.arange(len(listings)))
    assert found["accuracy"].value == 1
    assert len(found["accuracy"].above) == (split == "test").sum()


def test_accuracies_are_those_of_plain_loops(listings: list[Product]) -> None:
    target, chance = target_of(listings[:100], "colour", _NONE), np.random.default_rng(2)
    right = (chance.random(100) < 0.6) * 1.0
    asked = np.arange(100) % 7 != 0
    answers = {"test image": np.where(asked, right, np.nan), "validation image": np.where(asked, np.nan, right)}
    found = labels.judge(answers, "image", target, np.arange(100))
    by_class = defaultdict(list)
    for place in np.flatnonzero(asked):
        by_class[target.y[place]].append(right[place])
    assert found["accuracy"].value == pytest.approx(right[asked].mean())
    assert found["balanced accuracy"].value == pytest.approx(np.mean([np.mean(own) for own in by_class.values()]))


def test_supervised_towers_learn_the_labels_and_are_kept(listings: list[Product], tmp_path: Path) -> None:
    train = [one for one in listings if one.split == "train"]
    write_shards(train, tmp_path / "pieces")
    cfg = replace(TRAINER, epochs=1)
    towers = fine_tuned(tmp_path / "towers", tmp_path / "pieces", TINY, cfg, train)
    start = build_towers(TINY).state_dict()
    moved = {name for name, value in towers.state_dict().items() if not torch.equal(value, start[name])}
    assert {name.split(".")[0] for name in moved} == {"image_encoder", "text_encoder"}
    assert not {name for name in moved if "projection" in name}, "nothing has taught the projections"
    again = fine_tuned(tmp_path / "towers", tmp_path / "nowhere", TINY, cfg, train)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in towers.state_dict().items())


@pytest.mark.parametrize("name", ["flipkart1050", "bigbasket", "grocery_store", "hm_articles"])
def test_nothing_that_ties_listings_crosses_the_splits(name: str) -> None:
    data = Path(os.environ.get("ECCLIP_TEST_DATA", "."))
    if not (data / name / "listings.parquet").is_file():
        pytest.skip(f"ECCLIP_TEST_DATA does not hold {name}")
    shop = shop_of(data, name)
    splits = defaultdict(set)
    for one in shop.products:
        for key in one.keys:
            splits[key].add(one.split)
    assert all(len(own) == 1 for own in splits.values())
    assert {*shop.split} == {"train", "validation", "test"}
    assert len({one.listing_id for one in shop.products}) == len(shop.products) > 900
