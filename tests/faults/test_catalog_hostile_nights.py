"""A night of hostile cells, files and photos: every good row is published, every bad one counted, in little memory."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bad_photos import PHOTOS
from chain import run_chain
from dumps import picture
from hostile_dumps import random_dump
from hostile_rows import LOOSE, assert_closed, packed_line, plain
from memory_peaks import MemoryPeaks

from ecclip.core import read_manifest

pytestmark = [pytest.mark.spark, pytest.mark.heavy, pytest.mark.fault(36)]
FILES = 5
LINE_MIB = 384
MOST_KIB = LINE_MIB << 10  # a process that had such a line in memory would grow by more, with what it is made of


class Night:
    """A random dump, with photos good and bad and one packed line without end; and what must come of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.work = folder / "work"
        self.dump, self.good, self.refused = random_dump(folder / "dump", random.Random(seed), files=FILES)
        self.errors = {f"photo-{name}": why for name, (_, why) in PHOTOS.items()}
        self.errors |= {f"mug-{number}": None for number in range(30)}
        rows = [plain(listing, image_uri=f"images/{listing.removeprefix('photo-')}") for listing in self.errors]
        (self.dump / "images").mkdir()
        photos = {name: data for name, (data, _) in PHOTOS.items() if data is not None}
        photos |= {f"mug-{number}": picture(100 + number) for number in range(30)}
        for name, data in photos.items():
            (self.dump / "images" / name).write_bytes(data)
        first = "".join(json.dumps(row) + "\n" for row in rows).encode()
        last = b'"}\n' + json.dumps(plain("last")).encode()
        lines = packed_line(first + b'{"listing_id": "', LINE_MIB, last)
        (self.dump / "listings-photos.jsonl.gz").write_bytes(lines)
        self.good |= {*self.errors, "last"}
        self.refused["record_too_large"] += 1


@pytest.fixture(scope="module")
def night_and_growth(tmp_path_factory: pytest.TempPathFactory) -> tuple[Night, dict[str, int]]:
    """Run a night from landing to publishing; return it and the memory that it needed."""
    night = Night(tmp_path_factory.mktemp("hostile"), 1)
    peaks = MemoryPeaks()
    run_chain(night.work, night.dump, **LOOSE)
    return night, peaks.grown()


@pytest.fixture(scope="module")
def night(night_and_growth: tuple[Night, dict[str, int]]) -> Night:
    return night_and_growth[0]


def test_every_good_row_is_in_the_snapshot_and_every_bad_one_in_its_quarantine(night: Night) -> None:
    snapshot = night.work / "publish"
    listings = pq.read_table(snapshot / "listings", columns=["listing_id", "image_error", "group_id"]).to_pylist()
    assert Counter(row["listing_id"] for row in listings) == Counter(dict.fromkeys(night.good, 1))
    assert all(row["group_id"] for row in listings)
    errors = {row["listing_id"]: row["image_error"] for row in listings if row["listing_id"] in night.errors}
    assert errors == night.errors
    reasons = Counter(pq.read_table(snapshot / "quarantine", columns=["reason"])["reason"].to_pylist())
    assert reasons == night.refused + Counter(why for why in night.errors.values() if why)


def test_the_sums_of_every_stage_close(night: Night) -> None:
    land, ingest, clean, publish = (read_manifest(night.work / name) for name in ("land", "ingest", "clean", "publish"))
    assert_closed(ingest, night.work / "ingest")
    for stage in (land, clean):
        assert stage.read["photos"] == stage.written["photos"] + sum(stage.dropped.values()) > 0
    published = ingest.read["rows"] - sum(ingest.dropped.values())
    assert publish.read["listings"] == publish.written["listings"] == published


def test_no_process_had_the_line_without_end_in_memory(night_and_growth: tuple[Night, dict[str, int]]) -> None:
    grown = night_and_growth[1]
    assert len(grown) >= 3, "Spark's daemon and worker are among them"
    assert max(grown.values()) < MOST_KIB, grown
