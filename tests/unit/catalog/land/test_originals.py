"""Photos as the shop sent them are found by digest: in the parts that landed, or in the rows that carry them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecclip.catalog.land.originals import OriginalPhotos, original_descriptions
from ecclip.core import IntegrityError
from ecclip.formats.columns import IMAGE_SHA256


def _photos(first: int, count: int) -> dict[str, bytes]:
    return {hashlib.sha256(data).hexdigest(): data for data in (b"%d" % n for n in range(first, first + count))}


LANDED, INSIDE = [_photos(0, 30), _photos(30, 30)], _photos(60, 700)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two parts of photos in row groups of seven, and rows of a dump of which every other one carries a photo."""
    landed, ingested = tmp_path / "land" / "images", tmp_path / "ingest" / "listings"
    landed.mkdir(parents=True)
    ingested.mkdir(parents=True)
    for number, photos in enumerate(LANDED):
        table = pa.table({IMAGE_SHA256: list(photos), "image": list(photos.values())})
        pq.write_table(table, landed / f"part-{number:05d}.parquet", row_group_size=7)
    images = [image for data in INSIDE.values() for image in (data, None)]
    pq.write_table(pa.table({"image": images}), ingested / "part-00000.parquet", row_group_size=1000)
    return landed.parent, ingested.parent


def test_every_photo_is_found_again_and_again(folders: tuple[Path, Path]) -> None:
    photos = OriginalPhotos(*folders)
    every = LANDED[0] | LANDED[1] | INSIDE
    assert photos.read(every) == every
    some = list(every)[::17]
    assert photos.read(some) == {digest: every[digest] for digest in some}
    assert photos.read([]) == {}


def test_a_question_reads_the_files_of_its_photos_only(folders: tuple[Path, Path]) -> None:
    photos = OriginalPhotos(*folders)
    first = next(iter(LANDED[0]))
    photos.read([first])
    (folders[0] / "images" / "part-00001.parquet").unlink()
    assert photos.read([first]) == {first: LANDED[0][first]}


def test_a_photo_that_did_not_land_is_an_error_that_names_it(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"abcdef, one of 1; limit: .*land; next: run land"):
        OriginalPhotos(*folders).read(["abcdef", *LANDED[1]])
    with pytest.raises(IntegrityError, match=r"one of 2"):
        OriginalPhotos(tmp_path / "none", folders[1]).read(list(LANDED[0])[:2])


def test_descriptions_are_those_of_the_rows_that_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "listings").mkdir()
    for number, rows in enumerate([{"a": "<b>A</b>", "b": None}, {"c": "C"}]):
        table = pa.table({"listing_id": list(rows), "description": pa.array(list(rows.values()), pa.string())})
        pq.write_table(table, tmp_path / "listings" / f"part-{number:05d}.parquet")
    assert original_descriptions(tmp_path, ["a", "b", "nobody"]) == {"a": "<b>A</b>"}
