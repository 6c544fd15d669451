"""A snapshot's door: listings in order, photos by digest in bounded memory, and a schema that is known."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from snapshots import write_snapshot

from ecclip.errors import ContractError, IntegrityError
from ecclip.formats.columns import IMAGE_SHA256, SPLIT
from ecclip.formats.sampling import smallest_hashes
from ecclip.formats.snapshot import (
    PHOTO,
    Listings,
    Recipes,
    Snapshot,
    mark_snapshot,
    previous_snapshot,
    write_recipes,
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return Snapshot(write_snapshot(tmp_path_factory.mktemp("snapshot"), 600))


def test_every_photo_is_reached_by_the_digest_that_its_listing_names(snapshot: Snapshot) -> None:
    rows = next(snapshot.batches(["listing_id", IMAGE_SHA256], photos=True))
    known = {digest: data for digest, data in zip(rows[IMAGE_SHA256], rows[PHOTO], strict=True) if data is not None}
    assert len(known) == 540
    assert dict(snapshot.photos(known)) == known
    one = next(iter(known))
    assert snapshot.photo(one) == known[one]
    assert dict(snapshot.photos([one, "nobody", one])) == {one: known[one]}


def test_a_photo_that_is_not_there_is_an_error_that_names_it(snapshot: Snapshot) -> None:
    with pytest.raises(IntegrityError, match="abcdef"):
        snapshot.photo("abcdef")


def test_photos_are_found_in_every_part_and_row_group_and_each_once(tmp_path: Path, snapshot: Snapshot) -> None:
    table = pq.read_table(snapshot.listings)
    (tmp_path / "listings").mkdir()
    for number, first in enumerate(range(0, 600, 200)):
        part = table.slice(first, 250)  # the parts share rows: a photo of two listings
        pq.write_table(part, tmp_path / "listings" / f"part-{number}.parquet", row_group_size=40)
    split = Listings(tmp_path)
    wanted = [digest for digest in table[IMAGE_SHA256].to_pylist() if digest]
    found = list(split.photos(wanted))
    assert len(found) == len(set(wanted))
    assert dict(found) == dict(snapshot.photos(wanted))
    whole = pq.read_table(split.photo_files(), columns=[IMAGE_SHA256, PHOTO]).drop_null()
    assert len(whole) > len(set(wanted))
    assert dict(zip(*(column.to_pylist() for column in whole.columns), strict=True)) == dict(found)


def test_rows_are_chosen_by_what_they_say(snapshot: Snapshot) -> None:
    test = snapshot.table(["listing_id"], pc.field(SPLIT) == "test")
    every = snapshot.table(["listing_id", SPLIT]).to_pylist()
    assert test["listing_id"].to_pylist() == [row["listing_id"] for row in every if row[SPLIT] == "test"]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path, 30)
    part = folder / "listings" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:500])
    with pytest.raises(IntegrityError, match=r"part-00000\.parquet"):
        list(Snapshot(folder).batches(["listing_id"]))


def test_a_snapshot_of_another_schema_is_refused_and_a_missing_night_is_none(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert previous_snapshot(tmp_path / "none") is None
    with pytest.raises(IntegrityError, match=r"snapshot\.json"):
        Snapshot(tmp_path / "none")
    mark_snapshot(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    assert previous_snapshot(tmp_path) is not None
    (tmp_path / "snapshot.json").write_text(json.dumps({"schema": "ecclip.snapshot/99"}))
    with pytest.raises(ContractError, match=r"ecclip\.snapshot/99.*next: run the stages up to publish"):
        previous_snapshot(tmp_path)


def test_a_snapshot_of_the_former_schema_is_read_and_its_recipes_are_those_of_no_one(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 30)
    assert Snapshot(tmp_path).listings.is_dir()
    (tmp_path / "snapshot.json").write_text(json.dumps({"schema": "ecclip.snapshot/1"}))
    (tmp_path / "recipes.json").write_text(json.dumps({"photo": "a", "text": "b"}))
    before = previous_snapshot(tmp_path)
    assert before is not None
    assert before.recipes() is None
    assert Snapshot(tmp_path).table(["listing_id"]).num_rows == 30


def test_a_snapshot_from_before_there_were_schemas_is_the_night_before_and_no_other_input(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 30)
    (tmp_path / "snapshot.json").unlink()
    with pytest.raises(IntegrityError, match=r"snapshot\.json"):
        previous_snapshot(tmp_path)  # its manifest names the file: it is lost
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["files"]["snapshot.json"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    before = previous_snapshot(tmp_path)
    assert before is not None
    assert before.recipes() is None
    assert len(before.parts()) == 1
    with pytest.raises(IntegrityError, match=r"next: run the stages up to publish"):
        Snapshot(tmp_path)


def test_recipes_of_this_schema_are_asked_of_the_snapshot(tmp_path: Path) -> None:
    write_snapshot(tmp_path, 30)
    with pytest.raises(IntegrityError, match=r"recipes\.json"):
        Snapshot(tmp_path).recipes()
    write_recipes(Recipes("p", "t"), tmp_path)
    assert Snapshot(tmp_path).recipes() == Recipes("p", "t")


def test_a_sample_is_a_function_of_the_ids_alone() -> None:
    ids = [f"l{number}" for number in range(200)]
    sample = {ids[place] for place in smallest_hashes(ids, 20)}
    backwards = ids[::-1]
    assert {backwards[place] for place in smallest_hashes(backwards, 20)} == sample
    assert [ids[place] for place in smallest_hashes(ids, 3)] == sorted(
        ids, key=lambda one: hashlib.sha256(one.encode()).hexdigest()
    )[:3]
    gone = [one for one in ids if one != min(sample)]
    assert len(sample - {gone[place] for place in smallest_hashes(gone, 20)}) == 1
    assert smallest_hashes(ids, 1000) == smallest_hashes(ids, 200)
