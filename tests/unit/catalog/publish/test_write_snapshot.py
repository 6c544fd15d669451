"""The snapshot that other rooms test with keeps the snapshot's contract."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image
from snapshots import LISTINGS_SCHEMA, write_snapshot

from ecclip.core import digest_of, verify_folder


def test_a_snapshot_is_complete_and_its_bytes_repeat(tmp_path: Path) -> None:
    one, two = write_snapshot(tmp_path / "one"), write_snapshot(tmp_path / "two")
    assert digest_of(one) == digest_of(two)
    verify_folder(one)
    table = pq.read_table(one / "listings")
    assert table.schema.names == LISTINGS_SCHEMA.names
    rows = table.to_pylist()
    assert [row["listing_id"] for row in rows] == [f"l{number:06d}" for number in range(120)]
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    for split in ("train", "validation", "test"):
        assert len({tuple(row["category"]) for row in rows if row["split"] == split}) == 6
    splits_of_groups = {(row["group_id"], row["split"]) for row in rows}
    assert len(splits_of_groups) == len({row["group_id"] for row in rows})
    assert Image.open(io.BytesIO(next(row["image"] for row in rows if row["image"]))).mode == "RGB"


def test_another_seed_gives_another_snapshot(tmp_path: Path) -> None:
    assert digest_of(write_snapshot(tmp_path / "one")) != digest_of(write_snapshot(tmp_path / "two", seed=1))
