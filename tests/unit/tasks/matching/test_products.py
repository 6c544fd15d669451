"""The stage group_products: what it writes, from what, and that nights after it compare only what has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ecclip.core import Report, verify_folder
from ecclip.tasks import GroupProductsConfig, group_products

ALONE = GroupProductsConfig(keep_known_groups=False)
LISTINGS = "listings/part-00000.parquet"
Run = Callable[..., Report]


@pytest.fixture
def run(snapshot: Path, embedded: Path, tmp_path: Path) -> Run:
    """Return the stage on the snapshot of this folder, as a first night, into a folder of ``tmp_path``."""
    (tmp_path / "none").mkdir()

    def stage(cfg: GroupProductsConfig, name: str = "products") -> Report:
        return group_products(cfg, snapshot, embedded, tmp_path / "none", tmp_path / name)

    return stage


def products_of(output: Path) -> dict[str, str]:
    rows = pq.read_table(output / "products.parquet").to_pylist()
    return {row["listing_id"]: row["product_id"] for row in rows}


def matches_of(output: Path) -> dict[tuple[str, str], float]:
    rows = pq.read_table(output / "matches.parquet").to_pylist()
    found = {(row["left"], row["right"]): row["score"] for row in rows}
    assert list(found) == sorted(found)
    return found


def test_products_are_precise_and_named_by_their_smallest_listing(run: Run, snapshot: Path, tmp_path: Path) -> None:
    report = run(ALONE)
    found = products_of(tmp_path / "products")
    listings = pq.read_table(snapshot / LISTINGS, columns=["listing_id", "group_id", "image_sha256"]).to_pylist()
    group = {row["listing_id"]: row["group_id"] for row in listings}
    assert list(found) == sorted(group)
    members: dict[str, list[str]] = {}
    for listing, product in found.items():
        members.setdefault(product, []).append(listing)
    assert all(product == min(inside) for product, inside in members.items())
    several = [inside for inside in members.values() if len(inside) > 1]
    pure = sum(len({group[listing] for listing in inside}) == 1 for inside in several)
    assert pure / len(several) > 0.9
    assert report.written["products"] == len(members)
    assert report.detail["products_of_several"] == len(several) > 80
    photoless = {row["listing_id"] for row in listings if row["image_sha256"] is None}
    assert len(photoless & {listing for inside in several for listing in inside}) > len(photoless) / 3


def test_known_groups_are_never_split_and_twice_gives_equal_bytes(run: Run, snapshot: Path, tmp_path: Path) -> None:
    cfg = GroupProductsConfig()
    run(cfg, "one")
    run(cfg, "other")
    assert verify_folder(tmp_path / "one").files == verify_folder(tmp_path / "other").files
    assert set(verify_folder(tmp_path / "one").files) == {"matches.parquet", "products.parquet"}, "no text matcher"
    assert run(cfg, "one").outcome == "unchanged"
    found = products_of(tmp_path / "one")
    of_group: dict[str, set[str]] = {}
    for row in pq.read_table(snapshot / LISTINGS, columns=["listing_id", "group_id"]).to_pylist():
        of_group.setdefault(row["group_id"], set()).add(found[row["listing_id"]])
    assert all(len(products) == 1 for products in of_group.values())


def test_no_product_is_larger_than_the_limit(run: Run, tmp_path: Path) -> None:
    run(GroupProductsConfig(keep_known_groups=False, min_probability=0.0, matching={"max_product_size": 7}))
    assert max(Counter(products_of(tmp_path / "products").values()).values()) == 7


def test_without_catalog_ids_the_groups_are_the_products(make_snapshot: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_snapshot(120, lambda row: row.update(catalog_id=None))
    (tmp_path / "none").mkdir()
    cfg = GroupProductsConfig()
    report = group_products(cfg, folder, tmp_path / "embedded", tmp_path / "none", tmp_path / "products")
    assert not report.detail["threshold_found"]
    groups = {row["group_id"] for row in pq.read_table(folder / LISTINGS, columns=["group_id"]).to_pylist()}
    assert report.written == {"products": len(groups), "matches": 0}
    assert pq.read_table(tmp_path / "products/products.parquet")["score"].null_count == 120


@pytest.mark.parametrize("listings", [1, 2])
def test_one_or_two_listings_are_products(make_snapshot: Callable[..., Path], tmp_path: Path, listings: int) -> None:
    folder = make_snapshot(listings)
    (tmp_path / "none").mkdir()
    report = group_products(ALONE, folder, tmp_path / "embedded", tmp_path / "none", tmp_path / "products")
    assert report.written["products"] == listings


def test_over_three_nights_only_what_changed_is_compared_and_ids_stay(
    make_snapshot: Callable[..., Path], tmp_path: Path
) -> None:
    """The embeddings of every night are those of other towers; the ids of new listings come before all others."""
    retitled = {"l000010", "l000060", "l000110"}

    def later(row: dict[str, Any]) -> None:
        row["listing_id"] = (
            row["listing_id"].replace("l0000", "k0000") if row["listing_id"] < "l000004" else row["listing_id"]
        )
        row["grouping_title"] += " sale" if row["listing_id"] in retitled else ""

    (tmp_path / "none").mkdir()
    nights, before = [], tmp_path / "none"
    for number, change in enumerate((None, later, later)):
        folder = make_snapshot(300, change, night=f" {number}", seed=number)
        nights.append(tmp_path / f"products {number}")
        report = group_products(ALONE, folder, tmp_path / f"embedded {number}", before, nights[-1])
        changed = (300, 4 + len(retitled), 0)[number]
        assert report.read["changed"] == changed
        assert (report.read["compared_pairs"] == 0) == (changed == 0)
        if number:
            assert report.read["compared_pairs"] <= changed * 4 * ALONE.matching.neighbours
        before = nights[-1]
    first, second, third = (matches_of(folder) for folder in nights)
    new = retitled | {f"k{number:06d}" for number in range(4)} | {f"l{number:06d}" for number in range(4)}
    untouched = {pair: score for pair, score in first.items() if not new & {*pair}}
    assert {pair: score for pair, score in second.items() if not new & {*pair}} == untouched
    assert len(untouched) > 100
    assert third == second
    names = [products_of(folder) for folder in nights]
    assert names[2] == names[1]
    kept = {listing: name for listing, name in names[0].items() if listing not in new}
    moved = {listing for listing, name in kept.items() if names[1][listing] != name}
    assert moved == set(), "a product keeps its id though a new listing has a smaller one"
