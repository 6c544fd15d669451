"""A night that knows the night before gives the bytes of one that does not, and decodes only what is new."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import market, picture, write_dump

from ecclip.core import read_manifest

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

FOLDERS = ("listings", "quarantine", "boilerplate", "placeholders", "texts")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights, the second cleaned with and without the first: photos and texts changed, listings come and gone."""
    work = tmp_path_factory.mktemp("nights")
    rows, photos = market(30)
    for number in range(8):
        hidden = {"listing_id": f"none-{number}", "seller_id": f"q{number}", "image_uri": "images/none.jpg"}
        rows.append({**rows[0], **hidden, "title": f"Thing {number}", "category": ["x", f"c{number}"]})
    photos["images/none.jpg"] = picture(77)
    photos[rows[3]["image_uri"]] = b"<html>"
    for number in range(5, 15):
        photos[rows[number]["image_uri"]] = picture(1000 + number)
    run_chain(work / "1", write_dump(work / "dump1", rows, photos))
    rows, photos = _next(rows, photos)
    dump = write_dump(work / "dump2", rows, photos)
    before = {"previous": work / "1" / "publish", "previous_land": work / "1" / "land"}
    run_chain(work / "2", dump, until="clean", gate=False, **before)
    run_chain(work / "2-alone", dump, until="clean", gate=False)
    return work


def _next(rows: list[dict[str, Any]], photos: dict[str, bytes]) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    rows, photos = [dict(row) for row in rows], dict(photos)
    rows[5]["title"] = "<b>Another</b> title 500ML"
    rows[6]["description"] = "New &amp; longer"
    rows[7]["image_uri"] = rows[8]["image_uri"]
    rows[9]["image_uri"] = None
    photos[rows[10]["image_uri"]] = picture(1234)
    photos[rows[11]["image_uri"]] = photos[rows[11]["image_uri"]][:300]
    del rows[12], rows[13]
    return [*rows, {**rows[14], "listing_id": "new-1", "image_uri": "images/new.jpg"}], photos | {
        "images/new.jpg": picture(4321)
    }


def test_the_night_after_has_the_bytes_of_a_night_alone(nights: Path) -> None:
    for folder in FOLDERS:
        with_before, alone = nights / "2" / "clean" / folder, nights / "2-alone" / "clean" / folder
        assert _bytes(with_before) == _bytes(alone), folder
    assert pq.read_table(nights / "2" / "clean" / "placeholders").num_rows == 1


def test_only_what_is_new_is_written_by_landing_and_decoded_by_cleaning(nights: Path) -> None:
    one, two, alone = (read_manifest(nights / name / "clean") for name in ("1", "2", "2-alone"))
    assert one is not None
    assert two is not None
    assert alone is not None
    assert two.detail["photos_decoded"] == 3  # changed, cut off, new; one that moved to another listing is known
    assert two.detail["texts_cleaned"] == 3
    assert alone.detail["photos_decoded"] > 40
    landed = read_manifest(nights / "2" / "land")
    assert landed is not None
    assert landed.detail["photos_kept"] == landed.read["photos"] - 3


def test_another_recipe_takes_nothing_over(nights: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(nights / "1" / "publish", before)
    run = {"until": "clean", "gate": False, "previous": before}
    smaller = run_chain(tmp_path / "smaller", nights / "dump1", clean={"photo": {"image_side": 32}}, **run)
    detail = read_manifest(smaller)
    assert detail is not None
    assert detail.detail["texts_cleaned"] == 0
    assert detail.detail["photos_decoded"] > 40
    recipes = json.loads((before / "recipes.json").read_text())
    assert recipes["photo"] != json.loads((smaller / "recipes.json").read_text())["photo"]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
