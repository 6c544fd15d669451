"""Pairs and batches: any row, equal bits for any number of workers, and damaged shards by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from snapshots import write_snapshot
from tiny_training import tiny_towers

from ecclip.errors import IntegrityError
from ecclip.train import AugmentConfig, Batch, Loader, Pair, Pairs, PairsError, open_pairs
from ecclip.train.data.certainty import group_certainty
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
    varied = varied_image(pairs[square].image, preprocessor, plain, np.random.default_rng(0))
    assert np.array_equal(varied, preprocessor.pixels(pairs[square].image))
    mirrored = AugmentConfig(smallest_crop=1.0, flip=1.0)
    flipped = varied_image(pairs[square].image, preprocessor, mirrored, np.random.default_rng(0))
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


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A snapshot whose edges have other weights, every third one unused, and the strongest one of each listing."""
    snapshot = write_snapshot(tmp_path_factory.mktemp("doubtful"), 60)
    path = snapshot / "groups" / "edges-00000.parquet"
    table = pq.read_table(path)
    edges = [
        {**edge, "weight": 0.1 + number % 7 / 10, "mark": "cut" if number % 3 == 0 else None}
        for number, edge in enumerate(table.to_pylist())
    ]
    pq.write_table(pa.Table.from_pylist(edges, schema=table.schema), path)
    strongest: dict[str, float] = {}
    for edge in edges:
        for end in (edge["left"], edge["right"]) if edge["mark"] is None else ():
            strongest[end] = max(strongest.get(end, 0.0), edge["weight"])
    return snapshot, strongest


@pytest.mark.parametrize("weak_groups", [0.5, 1.0])
def test_a_listing_is_as_certain_as_the_strongest_evidence_that_joins_it_to_its_group(
    doubtful: tuple[Path, dict[str, float]], tmp_path: Path, weak_groups: float
) -> None:
    snapshot, strongest = doubtful
    pairs = open_pairs(snapshot / "shards", tmp_path)
    assert group_certainty(snapshot, pairs, 0.0) is None
    found = group_certainty(snapshot, pairs, weak_groups)
    assert found is not None
    weights = np.array([strongest.get(pair.listing_id, 1.0) for pair in pairs])
    assert np.allclose(found, 1 - weak_groups * (1 - weights), atol=1e-6)
    assert len(set(np.round(found, 3).tolist())) > 3
    loader = Loader(pairs, tiny_towers().preprocessor(), AugmentConfig(), 0, 0, found)
    batch = loader.make(0, np.array([5, 0, 3]))
    assert batch.certainty is not None
    assert batch.certainty.tolist() == found[[5, 0, 3]].tolist()
    assert batch.part(slice(1, 3)).to(torch.device("cpu")).certainty.tolist() == found[[0, 3]].tolist()  # type: ignore[union-attr]
