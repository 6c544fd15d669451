"""Recall of a product against brute force, and embeddings on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from snapshots import write_snapshot
from tiny_training import tiny_towers

from ecclip.errors import IntegrityError
from ecclip.formats.embeddings import Embeddings, load_embeddings, write_embeddings
from ecclip.formats.snapshot import Listings
from ecclip.train import (
    encode_images,
    encode_texts,
    recall_at_k,
)
from ecclip.train.data.listings import held_out


def _unit(rows: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_recall_equals_brute_force_over_groups() -> None:
    queries, candidates = _unit(60, 0), _unit(60, 1)
    groups = np.repeat(np.arange(30), 2)
    found = recall_at_k(queries, candidates, groups, at=(1, 5, 10))
    for k in (1, 5, 10):
        hits = [groups[row] in groups[np.argsort(-(candidates @ queries[row]), kind="stable")[:k]] for row in range(60)]
        assert found[k] == pytest.approx(np.mean(hits))
    assert recall_at_k(queries, queries, groups) == {1: 1.0, 5: 1.0, 10: 1.0}


def test_equal_embeddings_everywhere_are_no_recall() -> None:
    same = np.ones((50, 4), dtype=np.float32) / 2
    assert recall_at_k(same, same, np.arange(50))[10] == 0.0


def test_embeddings_come_back_sorted_with_missing_photos_and_equal_bytes(tmp_path: Path) -> None:
    image, text = _unit(5, 0), _unit(5, 1)
    image[3] = np.nan
    ids = ["l3", "l1", "l5", "l4", "l2"]
    write_embeddings(Embeddings(ids, image, text), tmp_path / "one")
    order = np.array([4, 0, 2, 1, 3])
    write_embeddings(Embeddings([ids[row] for row in order], image[order], text[order]), tmp_path / "other")
    name = "part-00000.parquet"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    loaded = load_embeddings(tmp_path / "one")
    assert loaded.listing_ids == ["l1", "l2", "l3", "l4", "l5"]
    assert loaded.image.dtype == loaded.text.dtype == np.float32
    assert np.array_equal(loaded.image, image[[1, 4, 0, 3, 2]], equal_nan=True)
    assert np.array_equal(loaded.text, text[[1, 4, 0, 3, 2]])


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=str(tmp_path)):
        load_embeddings(tmp_path)


def test_encoding_does_not_depend_on_batches_and_marks_what_cannot_be_decoded(tmp_path: Path) -> None:
    towers = tiny_towers()
    preprocessor = towers.preprocessor()
    part = next(Listings(write_snapshot(tmp_path, 40)).batches(["title"], photos=True))
    images = [*part["image"], b"no picture"]
    whole = encode_images(towers, preprocessor, images, batch_size=64)
    small = encode_images(towers, preprocessor, images, batch_size=3, workers=2)
    np.testing.assert_allclose(whole, small, atol=1e-6)
    missing = np.isnan(whole).all(axis=1)
    assert missing.tolist() == [data is None or data == b"no picture" for data in images]
    np.testing.assert_allclose(
        encode_texts(towers, preprocessor, part["title"], batch_size=64),
        encode_texts(towers, preprocessor, part["title"], batch_size=3),
        atol=1e-6,
    )


def test_held_out_listings_are_validation_listings_with_photos_and_the_same_every_time(tmp_path: Path) -> None:
    snapshot = write_snapshot(tmp_path, 200)
    photos, titles, groups = held_out(snapshot, 1000)
    listings = next(Listings(snapshot).batches(["title", "split", "group_id"], photos=True))
    expected = [
        row for row in range(200) if listings["split"][row] == "validation" and listings["image"][row] is not None
    ]
    assert titles == [listings["title"][row] for row in expected]
    assert len(photos) == len(groups) == len(expected)
    names = [listings["group_id"][row] for row in expected]
    assert len(set(groups.tolist())) == len(set(names))
    fewer = held_out(snapshot, 10)
    assert 1 <= len(fewer[1]) <= 10
    assert set(fewer[1]) <= set(titles)
    assert held_out(snapshot, 10)[1] == fewer[1]
