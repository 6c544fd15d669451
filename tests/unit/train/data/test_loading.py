"""Pairs and batches: any row, equal bits for any number of workers, and damaged shards by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from snapshots import write_snapshot
from tiny_training import tiny_towers

from ecclip.errors import IntegrityError
from ecclip.train import AugmentConfig, Batch, Loader, Pair, Pairs, PairsError, open_pairs
from ecclip.train.data.loader import varied_image, varied_text


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 60)


@pytest.fixture
def pairs(snapshot: Path, tmp_path: Path) -> Pairs:
    return open_pairs(snapshot / "shards", tmp_path)


def test_rows_come_back_as_the_shards_have_them(snapshot: Path, pairs: Pairs) -> None:
    table = pq.read_table(snapshot / "shards" / "train-00000.parquet").to_pylist()
    assert len(pairs) == len(table)
    for row in (len(table) - 1, 0, 7):
        pair, stored = pairs[row], table[row]
        assert (pair.listing_id, pair.title, pair.image) == (stored["listing_id"], stored["title"], stored["image"])
        assert pair.attributes == tuple(stored["attributes"])
    names = [values["group_id"] for values in table]
    same = np.array([[a == b for a in names] for b in names])
    assert np.array_equal(pairs.groups[:, None] == pairs.groups[None, :], same)


def _equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("pixels", "ids", "mask", "groups"))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_batches_do_not_depend_on_the_number_of_workers(pairs: Pairs, workers: int) -> None:
    preprocessor = tiny_towers().preprocessor()
    plan = [(epoch, np.arange(first, first + 6)) for epoch in range(2) for first in (12, 0, 6)]
    expected = list(Loader(pairs, preprocessor, AugmentConfig(), 0, 0).batches(plan))
    found = list(Loader(pairs, preprocessor, AugmentConfig(), 0, workers).batches(plan))
    assert len(found) == len(expected) == 6
    assert all(_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not torch.equal(expected[0].pixels, expected[3].pixels), "another epoch is another variation"


def test_a_loader_that_is_left_early_leaves_no_thread(pairs: Pairs) -> None:
    import threading

    loader = Loader(pairs, tiny_towers().preprocessor(), AugmentConfig(), 0, 3)
    batches = loader.batches([(0, np.arange(6))] * 8)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")] == []


def test_without_variation_training_sees_what_serving_sees(pairs: Pairs) -> None:
    preprocessor = tiny_towers().preprocessor()
    square = next(row for row in range(len(pairs)) if _is_square(pairs[row].image))
    plain = AugmentConfig(smallest_crop=1.0, flip=0.0, richer_text=0.0)
    varied = varied_image(pairs[square].image, 32, plain, np.random.default_rng(0))
    assert np.array_equal(varied, preprocessor.pixels(pairs[square].image))
    mirrored = AugmentConfig(smallest_crop=1.0, flip=1.0)
    flipped = varied_image(pairs[square].image, 32, mirrored, np.random.default_rng(0))
    assert np.array_equal(flipped[:, :, ::-1], varied)


def _is_square(data: bytes) -> bool:
    import io

    from PIL import Image

    width, height = Image.open(io.BytesIO(data)).size
    return width == height


def test_richer_text_names_only_what_the_title_does_not() -> None:
    pair = Pair("l1", "Red mug", "Arvo", (("color", "red"), ("material", "steel")), b"")
    assert varied_text(pair, AugmentConfig(richer_text=1.0), np.random.default_rng(0)) == "Red mug Arvo steel"
    assert varied_text(pair, AugmentConfig(richer_text=0.0), np.random.default_rng(0)) == "Red mug"


def _copy(snapshot: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in (snapshot / "shards").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("damage", ["missing", "truncated", "fewer rows", "no index", "empty"])
def test_a_damaged_shard_is_named_and_nothing_is_trained_on(snapshot: Path, tmp_path: Path, damage: str) -> None:
    shards = _copy(snapshot, tmp_path / "shards")
    shard, index = shards / "train-00000.parquet", shards / "index.json"
    if damage == "missing":
        shard.unlink()
    elif damage == "truncated":
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    elif damage == "fewer rows":
        index.write_text(index.read_text().replace('"rows": ', '"rows": 1'))
    elif damage == "no index":
        index.unlink()
    else:
        index.write_text(json.dumps(json.loads(index.read_text()) | {"shards": []}))
    named = {"no index": "index.json", "empty": "no training pairs"}.get(damage, "train-00000.parquet")
    with pytest.raises(PairsError if damage == "empty" else IntegrityError, match=named):
        open_pairs(shards, tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []
