"""A night that knows the night before gives the bytes of one that does not, and decodes only what is new."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from chain import TWO_PARTS, run_chain

from ecclip.core import read_manifest

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

FOLDERS = ("listings", "quarantine", "boilerplate", "placeholders", "texts")


@pytest.fixture(scope="module")
def alone(market_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second night, cleaned without the first."""
    return run_chain(tmp_path_factory.mktemp("alone"), market_nights / "dump2", until="clean", gate=False, **TWO_PARTS)


def test_the_night_after_has_the_bytes_of_a_night_alone(market_nights: Path, alone: Path) -> None:
    cleaned = market_nights / "2" / "clean"
    for folder in FOLDERS:
        assert _bytes(cleaned / folder) == _bytes(alone / folder), folder
    assert pq.read_table(cleaned / "placeholders").num_rows == 1


def test_only_what_is_new_is_written_by_landing_and_decoded_by_cleaning(market_nights: Path, alone: Path) -> None:
    two, whole = read_manifest(market_nights / "2" / "clean"), read_manifest(alone)
    assert two is not None
    assert whole is not None
    assert two.detail["photos_decoded"] == 3  # changed, cut off, new; one that moved to another listing is known
    assert two.detail["texts_cleaned"] == 3
    assert whole.detail["photos_decoded"] > 40
    landed = read_manifest(market_nights / "2" / "land")
    assert landed is not None
    assert landed.detail["photos_kept"] == landed.read["photos"] - 3


def test_another_recipe_takes_nothing_over(market_nights: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(market_nights / "1" / "publish", before)
    run = {"until": "clean", "gate": False, "previous": before}
    smaller = run_chain(tmp_path / "smaller", market_nights / "dump1", clean={"photo": {"image_side": 32}}, **run)
    detail = read_manifest(smaller)
    assert detail is not None
    assert detail.detail["texts_cleaned"] == 0
    assert detail.detail["photos_decoded"] > 40
    recipes = json.loads((before / "recipes.json").read_text())
    assert recipes["photo"] != json.loads((smaller / "recipes.json").read_text())["photo"]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
