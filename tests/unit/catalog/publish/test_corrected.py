"""A person's label has precedence over the dump's, in the snapshot and in what is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chain import ONE_PART, chain_inputs, stage_function

from ecclip.core import digest_of
from ecclip.formats.corrections import Correction, append_corrections
from ecclip.formats.shards import Shards
from ecclip.pipeline import stage_model

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

Rows = dict[str, dict[str, Any]]


def listings(snapshot: Path) -> Rows:
    rows = pq.read_table(snapshot / "listings").drop_columns("image").to_pylist()
    return {row["listing_id"]: row for row in rows}


@pytest.fixture
def publish(market_nights: Path, tmp_path: Path) -> Callable[[], Any]:
    """Publish the first night of the market with what is in ``corrections`` below ``tmp_path``."""
    (tmp_path / "corrections").mkdir()
    (tmp_path / "corrections/README.md").write_text("of people\n")

    def run() -> Any:
        inputs = chain_inputs("publish", market_nights / "1") | {"corrections": tmp_path / "corrections"}
        cfg = stage_model("publish").model_validate(ONE_PART["publish"])
        return stage_function("publish")(cfg=cfg, **inputs, output=tmp_path / "snapshot")

    return run


def correction(listing_id: str, field: str, old: Any, new: Any, name: str = "") -> Correction:
    when = {"at": "2026-01-02T00:00:00+00:00", "night": "2026-01-01", "author": "ann"}
    return Correction(listing_id=listing_id, field=field, name=name, old=old, new=new, **when)


def test_corrected_labels_are_published_and_trained_on(
    market_nights: Path, tmp_path: Path, publish: Callable[[], Any]
) -> None:
    before = listings(market_nights / "1/publish")
    trained = [name for name, row in before.items() if Shards(market_nights / "1/publish/shards").find(name)]
    one, two, three, four = trained[:4]
    shelf = ["Garden", "Gnomes"]
    append_corrections(
        tmp_path / "corrections",
        [
            correction(one, "category", ["Elsewhere"], ["Wrong"]),
            correction(one, "category", before[one]["category"], shelf),
            correction(two, "attributes", None, "red", "colour"),
            correction(two, "age_restricted", None, True),
            correction(three, "category", ["as it was"], shelf),
            correction(three, "attributes", "blue", None, "colour"),
            correction(four, "brand", "?", before[four]["brand"]),
            correction("sold yesterday", "category", None, shelf),
        ],
    )
    report = publish()
    assert report.detail["corrections"] == {
        "agreed": 2, "changed": 3, "overruled": 1, "unknown_listing": 1,
    }  # fmt: skip
    after = listings(tmp_path / "snapshot")
    assert after[one] == {**before[one], "category": shelf}
    assert after[two] == {**before[two], "attributes": [("colour", "red")], "age_restricted": True}
    assert after[three] == {**before[three], "category": shelf}
    others = before.keys() - {one, two, three}
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    rows = pq.read_table(
        tmp_path / "snapshot/shards/train-00000.parquet", columns=["listing_id", "category_key"]
    ).to_pylist()
    assert {row["listing_id"] for row in rows if row["category_key"] == "Garden/Gnomes"} == {one, three}
    statistics = json.loads((tmp_path / "snapshot/statistics.json").read_text())
    assert statistics["categories"]["Garden/Gnomes"] == 2
    assert publish().outcome == "unchanged"
    append_corrections(tmp_path / "corrections", [correction(four, "category", None, shelf)])
    inputs = json.loads((tmp_path / "snapshot/manifest.json").read_text())["inputs"]
    assert inputs["corrections"] != digest_of(tmp_path / "corrections"), "one more label is another input"
