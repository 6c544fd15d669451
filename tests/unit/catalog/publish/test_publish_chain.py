"""The whole chain on a small market: the snapshot keeps its contract, and equal dumps give equal bytes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import market, picture, write_dump
from snapshots import LISTINGS_SCHEMA, split_of, write_snapshot

from ecclip.catalog.publish import split
from ecclip.catalog.publish.tracing import trace_listing
from ecclip.core import digest_of, verify_folder
from ecclip.formats import shards

pytestmark = [pytest.mark.spark, pytest.mark.heavy]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights whose stages see their declared inputs alone: the second one lacks a listing."""
    work = tmp_path_factory.mktemp("nights")
    rows, photos = market(40)
    for number in range(8):
        hidden = {"listing_id": f"placeholder-{number}", "seller_id": f"q{number}", "image_uri": "images/none.jpg"}
        other = {"title": f"Thing {chr(97 + number) * 4}", "brand": None, "category": ["x", f"c{number}"]}
        rows.append({**rows[0], **hidden, **other})
    photos["images/none.jpg"] = picture(77)
    run_chain(work / "1", write_dump(work / "dump1", rows, photos), alone=True)
    later = [row for row in rows if row["listing_id"] != rows[2]["listing_id"]]
    dump = write_dump(work / "dump2", later, photos)
    run_chain(work / "2", dump, until="group", gate=False, alone=True, previous=work / "1" / "publish")
    return work


def listings(snapshot: Path) -> list[dict[str, Any]]:
    return pq.read_table(snapshot / "listings").to_pylist()


def test_the_snapshot_has_the_columns_of_its_contract(nights: Path) -> None:
    verify_folder(nights / "1" / "publish")
    schema = pq.read_schema(nights / "1" / "publish" / "listings" / "part-00000.parquet")
    assert schema.names == LISTINGS_SCHEMA.names
    for name in ("price", "age_restricted", "updated_at", "image", "group_id", "category"):
        assert schema.field(name).type.equals(LISTINGS_SCHEMA.field(name).type) or name == "category"
    assert pq.read_schema(nights / "1" / "publish" / "shards" / "train-00000.parquet").names == shards.COLUMNS.names
    for part in (nights / "1" / "publish" / "listings").iterdir():
        ids = pq.read_table(part)["listing_id"].to_pylist()
        assert ids == sorted(ids)


def test_no_group_crosses_splits_and_the_rule_is_that_of_the_fixture(nights: Path) -> None:
    rows = listings(nights / "1" / "publish")
    assert {row["split"] for row in rows} >= {"train"}
    for row in rows:
        assert row["split"] == split.split_of(row["group_id"]) == split_of(row["group_id"])


def test_groups_are_the_products_of_the_market(nights: Path) -> None:
    rows = [row for row in listings(nights / "1" / "publish") if row["listing_id"].startswith("p0")]
    pairs = list(itertools.combinations(rows, 2))
    same = {(a["listing_id"], b["listing_id"]) for a, b in pairs if a["listing_id"][:4] == b["listing_id"][:4]}
    found = {(a["listing_id"], b["listing_id"]) for a, b in pairs if a["group_id"] == b["group_id"]}
    assert len(found & same) / len(found) == 1
    assert len(found & same) / len(same) > 0.95


def test_a_photo_of_many_sellers_and_categories_is_a_placeholder(nights: Path) -> None:
    rows = listings(nights / "1" / "publish")
    hidden = [row for row in rows if row["image_error"] == "placeholder"]
    assert {row["listing_id"] for row in hidden} == {f"placeholder-{number}" for number in range(8)}
    assert all(row["image"] is None for row in hidden)
    reasons = [row["reason"] for row in pq.read_table(nights / "1" / "publish" / "quarantine").to_pylist()]
    assert reasons == ["placeholder"] * 8


def test_shards_hold_the_train_listings_with_a_photo_near_their_category(nights: Path) -> None:
    snapshot = nights / "1" / "publish"
    index = json.loads((snapshot / "shards" / "index.json").read_text())
    rows = [row for entry in index["shards"] for row in pq.read_table(snapshot / "shards" / entry["file"]).to_pylist()]
    wanted = {row["listing_id"] for row in listings(snapshot) if row["split"] == "train" and row["image"]}
    assert {row["listing_id"] for row in rows} == wanted
    assert len(rows) == index["rows"] == len(wanted)
    keys = [row["category_key"] for row in rows]
    assert keys == sorted(keys)


def test_group_ids_are_the_same_the_next_night(nights: Path) -> None:
    before = {row["listing_id"]: row["group_id"] for row in listings(nights / "1" / "publish")}
    groups = pq.read_table(nights / "2" / "group" / "groups").to_pylist()
    after = {row["listing_id"]: row["group_id"] for row in groups}
    assert len(after) == len(before) - 1
    assert after == {listing: before[listing] for listing in after}


def test_statistics_count_what_is_there(nights: Path) -> None:
    rows = listings(nights / "1" / "publish")
    facts = json.loads((nights / "1" / "publish" / "statistics.json").read_text())
    fixture = write_snapshot(nights / "fixture")
    assert facts.keys() == json.loads((fixture / "statistics.json").read_text()).keys()
    assert facts["listings"] == len(rows)
    assert facts["groups"] == len({row["group_id"] for row in rows})
    assert sum(facts["splits"].values()) == len(rows)
    assert sum(facts["categories"].values()) == len(rows)
    prices = sorted(row["price"] for row in rows)
    assert prices[0] <= facts["price_quantiles"]["0.5"] <= prices[-1]


def test_the_chain_run_again_elsewhere_gives_the_same_digest(nights: Path, tmp_path: Path) -> None:
    again = run_chain(tmp_path / "again", nights / "dump1")
    assert digest_of(again) == digest_of(nights / "1" / "publish")


def test_a_trace_tells_what_became_of_a_listing(nights: Path) -> None:
    night, snapshot = nights / "1", nights / "1" / "publish"
    row = next(row for row in listings(snapshot) if row["split"] == "train" and row["image"] is not None)
    facts = trace_listing(row["listing_id"], night, snapshot)
    assert facts is not None
    assert facts["dump"][0]["row"]["title"] == facts["published"]["title_original"]
    assert facts["group"]["group_id"] == row["group_id"]
    assert row["listing_id"] in facts["group"]["members"]
    assert all(row["listing_id"] in (edge["left"], edge["right"]) for edge in facts["group"]["evidence"])
    assert (len(facts["group"]["members"]) > 1) == bool(facts["group"]["evidence"])
    shard = pq.read_table(snapshot / "shards" / facts["shard"]["file"], columns=["listing_id"])
    assert shard["listing_id"][facts["shard"]["row"]].as_py() == row["listing_id"]
    assert facts["since"] == "new"
    assert trace_listing(row["listing_id"], night, snapshot, previous=snapshot) is not None


def test_a_trace_shows_a_refused_photo_and_knows_no_stranger(nights: Path) -> None:
    facts = trace_listing("placeholder-3", nights / "1", nights / "1" / "publish")
    assert facts is not None
    assert [entry["reason"] for entry in facts["quarantine"]] == ["placeholder"]
    assert "shard" not in facts
    assert trace_listing("nobody", nights / "1", nights / "1" / "publish") is None
