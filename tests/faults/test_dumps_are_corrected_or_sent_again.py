"""A dump that is corrected in place, photos that are replaced under their names, and a dump that is sent again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from dumps import market, picture, write_dump
from facts import facts_of

from ecclip.catalog.gate.before_publishing import ReleaseConfig
from ecclip.catalog.gate.history import NightFacts
from ecclip.catalog.gate.shift import shifts
from ecclip.catalog.land.photos import photo_entries
from ecclip.catalog.land.stage import LandConfig, land

pytestmark = [pytest.mark.spark, pytest.mark.fault(41)]
MARKERS = {
    "_SUCCESS": "",
    "manifest.json": json.dumps({"files": ["listings-0000.jsonl.gz"], "created": "2026-11-01"}),
}


def row(uri: str, **more: Any) -> dict[str, Any]:
    return {"listing_id": "l1", "title": "Mug", "image_uri": uri, **more}


def mark(dump: Path, marker: str) -> None:
    for name in MARKERS:
        (dump / name).unlink(missing_ok=True)
    (dump / marker).write_text(MARKERS[marker])


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("what", ["listings", "photo"])
def test_a_dump_that_is_corrected_in_place_is_landed_again(tmp_path: Path, marker: str, what: str) -> None:
    (tmp_path / "none").mkdir()
    dump = write_dump(tmp_path / "dump", [row("a.jpg")], {"a.jpg": picture(1)})
    mark(dump, marker)
    first = land(LandConfig(), dump, tmp_path / "none", tmp_path / "land")
    assert land(LandConfig(), dump, tmp_path / "none", tmp_path / "land").outcome == "unchanged"
    if what == "photo":
        (dump / "a.jpg").write_bytes(picture(2))
    else:
        better = write_dump(tmp_path / "better", [row("a.jpg", price=2)])
        shutil.copyfile(better / "listings-0000.jsonl.gz", dump / "listings-0000.jsonl.gz")
    second = land(LandConfig(), dump, tmp_path / "none", tmp_path / "land")
    assert second.outcome == "written"
    assert second.digest != first.digest


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"schema_name": 1}', MARKERS["manifest.json"]])
def test_any_marker_of_a_shop_is_one_more_file_of_its_dump(tmp_path: Path, content: str) -> None:
    (tmp_path / "none").mkdir()
    dump = write_dump(tmp_path / "dump", [row("a.jpg")], {"a.jpg": picture(1)})
    (dump / "_SUCCESS").unlink()
    (dump / "manifest.json").write_text(content)
    land(LandConfig(), dump, tmp_path / "none", tmp_path / "land")
    (dump / "manifest.json").write_text(content + " ")
    assert land(LandConfig(), dump, tmp_path / "none", tmp_path / "land").outcome == "written"


def facts_of_rows(work: Path, rows: list[Any], photos: dict[str, bytes], previous: Path | None = None) -> NightFacts:
    return facts_of(work, write_dump(work / "dump", rows, photos, files=2), previous_land=previous)


def resent(tonight: NightFacts, *history: NightFacts) -> float:
    return next(shift.value for shift in shifts(ReleaseConfig().shift, tonight, history) if shift.name == "resent_dump")


def test_a_night_is_named_by_its_rows_and_the_bytes_of_its_photos(tmp_path: Path) -> None:
    rows, photos = market(6)
    first = facts_of_rows(tmp_path / "1", rows, photos)
    again = facts_of_rows(tmp_path / "2", rows[::-1], photos, previous=tmp_path / "1" / "land")
    assert again.fingerprint == first.fingerprint
    assert resent(again, first) == 1

    name = next(iter(photos))
    replaced = facts_of_rows(tmp_path / "3", rows, photos | {name: picture(999)}, previous=tmp_path / "1" / "land")
    assert replaced.fingerprint != first.fingerprint
    assert resent(replaced, first) == 0

    fewer = {uri: image for uri, image in photos.items() if uri != name}
    lost = facts_of_rows(tmp_path / "4", rows, fewer, previous=tmp_path / "1" / "land")
    assert resent(lost, first) == 1  # the same rows with less beside them are the same dump, badly copied

    older = facts_of_rows(tmp_path / "5", rows, photos, previous=tmp_path / "3" / "land")
    assert resent(older, first, replaced) == 1


def test_photos_in_the_rows_themselves_are_part_of_the_name(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for night, seed in enumerate((1, 1, 2)):
        dump = tmp_path / f"dump{night}"
        dump.mkdir()
        rows = {"listing_id": ["l1"], "title": ["Mug"], "image": [picture(seed)]}
        pq.write_table(pa.table(rows), dump / "listings.parquet")
        (dump / "_SUCCESS").touch()
        found.append(facts_of(tmp_path / str(night), dump).fingerprint)
    assert found[0] == found[1] != found[2]


def test_times_and_links_of_files_do_not_change_what_is_landed(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    dump = write_dump(tmp_path / "dump", [row("a.jpg")], {"a.jpg": picture(1)})
    first = land(LandConfig(), dump, tmp_path / "none", tmp_path / "land")
    os.utime(dump / "a.jpg", (0, 0))
    assert land(LandConfig(), dump, tmp_path / "none", tmp_path / "land").outcome == "unchanged"
    assert [entry["image_uri"] for entry in photo_entries(tmp_path / "land")] == ["a.jpg"]
    assert first.written["photos"] == 1
