"""The whole chain on a small market: the snapshot keeps its contract, and tells what became of each listing."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from market_nights import first_night, second_night
from snapshots import LISTINGS_SCHEMA, split_of, write_snapshot

from ecclip.catalog.publish.tracing import trace_listing
from ecclip.core import verify_folder
from ecclip.formats import shards

pytestmark = [pytest.mark.spark, pytest.mark.heavy]


@pytest.fixture
def snapshot(market_nights: Path) -> Path:
    """What was published of the first night."""
    return market_nights / "1" / "publish"


def listings(snapshot: Path) -> list[dict[str, Any]]:
    return pq.read_table(snapshot / "listings").to_pylist()


def test_the_snapshot_has_the_columns_of_its_contract(snapshot: Path) -> None:
    verify_folder(snapshot)
    schema = pq.read_schema(snapshot / "listings" / "part-00000.parquet")
    assert schema.names == LISTINGS_SCHEMA.names
    for name in ("price", "age_restricted", "updated_at", "image", "group_id", "category"):
        assert schema.field(name).type.equals(LISTINGS_SCHEMA.field(name).type) or name == "category"
    assert pq.read_schema(snapshot / "shards" / "train-00000.parquet").names == shards.COLUMNS.names
    for part in (snapshot / "listings").iterdir():
        ids = pq.read_table(part)["listing_id"].to_pylist()
        assert ids == sorted(ids)


def test_no_group_crosses_splits_and_the_rule_is_that_of_the_fixture(snapshot: Path) -> None:
    rows = listings(snapshot)
    assert {row["split"] for row in rows} >= {"train"}
    for row in rows:
        assert row["split"] == split_of(row["group_id"])


def test_groups_are_the_products_of_the_market(snapshot: Path) -> None:
    rows = [row for row in listings(snapshot) if row["listing_id"].startswith("p0")]
    pairs = list(itertools.combinations(rows, 2))
    same = {(a["listing_id"], b["listing_id"]) for a, b in pairs if a["listing_id"][:4] == b["listing_id"][:4]}
    found = {(a["listing_id"], b["listing_id"]) for a, b in pairs if a["group_id"] == b["group_id"]}
    assert len(found & same) / len(found) == 1
    assert len(found & same) / len(same) > 0.95


def test_a_photo_of_many_sellers_and_categories_is_a_placeholder(snapshot: Path) -> None:
    rows = listings(snapshot)
    hidden = [row for row in rows if row["image_error"] == "placeholder"]
    assert {row["listing_id"] for row in hidden} == {f"placeholder-{number}" for number in range(8)}
    assert all(row["image"] is None for row in hidden)
    reasons = Counter(pq.read_table(snapshot / "quarantine")["reason"].to_pylist())
    assert reasons == {"placeholder": 8, "not_an_image": 1, "duplicate_listing_id": 8}


def test_shards_hold_the_train_listings_with_a_photo_near_their_category(snapshot: Path) -> None:
    index = json.loads((snapshot / "shards" / "index.json").read_text())
    rows = [row for entry in index["shards"] for row in pq.read_table(snapshot / "shards" / entry["file"]).to_pylist()]
    wanted = {row["listing_id"] for row in listings(snapshot) if row["split"] == "train" and row["image"]}
    assert {row["listing_id"] for row in rows} == wanted
    assert len(rows) == index["rows"] == len(wanted)
    keys = [row["category_key"] for row in rows]
    assert keys == sorted(keys)


def test_group_ids_are_the_same_the_next_night(market_nights: Path, snapshot: Path) -> None:
    rows = listings(snapshot)
    before = {row["listing_id"]: row["group_id"] for row in rows}
    groups = pq.read_table(market_nights / "2" / "group" / "groups").to_pylist()
    after = {row["listing_id"]: row["group_id"] for row in groups}
    assert len(before.keys() - after.keys()) == 2
    first, second = ({row["listing_id"]: row for row in night()[0]} for night in (first_night, second_night))
    changed = {before[name] for name in before.keys() & after.keys() if first[name] != second[name]}
    same = {name: group for name, group in before.items() if name in after and group not in changed}
    assert len(same) > 60
    assert {name: after[name] for name in same} == same


def test_statistics_count_what_is_there(snapshot: Path, tmp_path: Path) -> None:
    rows = listings(snapshot)
    facts = json.loads((snapshot / "statistics.json").read_text())
    fixture = write_snapshot(tmp_path / "fixture")
    assert facts.keys() == json.loads((fixture / "statistics.json").read_text()).keys()
    assert facts["listings"] == len(rows)
    assert facts["groups"] == len({row["group_id"] for row in rows})
    assert sum(facts["splits"].values()) == len(rows)
    assert sum(facts["categories"].values()) == len(rows)
    prices = sorted(row["price"] for row in rows)
    assert prices[0] <= facts["price_quantiles"]["0.5"] <= prices[-1]


def test_a_trace_tells_what_became_of_a_listing(market_nights: Path, snapshot: Path) -> None:
    night = market_nights / "1"
    row = next(row for row in listings(snapshot) if row["split"] == "train" and row["image"] is not None)
    facts = trace_listing(row["listing_id"], night, snapshot)
    assert facts is not None
    assert facts["published"]["title_original"] in [one["row"]["title"] for one in facts["dump"]]
    assert facts["group"]["group_id"] == row["group_id"]
    assert row["listing_id"] in facts["group"]["members"]
    assert all(row["listing_id"] in (edge["left"], edge["right"]) for edge in facts["group"]["evidence"])
    assert (len(facts["group"]["members"]) > 1) == bool(facts["group"]["evidence"])
    shard = pq.read_table(snapshot / "shards" / facts["shard"]["file"], columns=["listing_id"])
    assert shard["listing_id"][facts["shard"]["row"]].as_py() == row["listing_id"]
    assert facts["since"] == "new"
    assert trace_listing(row["listing_id"], night, snapshot, previous=snapshot) is not None


def test_a_trace_shows_a_refused_photo_and_knows_no_stranger(market_nights: Path, snapshot: Path) -> None:
    facts = trace_listing("placeholder-3", market_nights / "1", snapshot)
    assert facts is not None
    assert [entry["reason"] for entry in facts["quarantine"]] == ["placeholder"]
    assert "shard" not in facts
    assert trace_listing("nobody", market_nights / "1", snapshot) is None
