"""The stage group_products: what it writes, from what, and that it writes it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ecclip.core import verify_folder
from ecclip.formats.embeddings import load_embeddings
from ecclip.tasks import GroupProductsConfig, group_products

ALONE = GroupProductsConfig(keep_known_groups=False)


def products_of(output: Path) -> dict[str, str]:
    rows = pq.read_table(output / "products.parquet").to_pylist()
    return {row["listing_id"]: row["product_id"] for row in rows}


def test_products_are_precise_and_named_by_their_smallest_listing(
    snapshot: Path, embedded: Path, tmp_path: Path
) -> None:
    report = group_products(ALONE, snapshot, embedded, tmp_path / "products")
    found = products_of(tmp_path / "products")
    listings = pq.read_table(snapshot / "listings", columns=["listing_id", "group_id"]).to_pylist()
    group = {row["listing_id"]: row["group_id"] for row in listings}
    assert list(found) == sorted(group)
    members: dict[str, list[str]] = {}
    for listing, product in found.items():
        members.setdefault(product, []).append(listing)
    assert all(product == min(inside) for product, inside in members.items())
    several = [inside for inside in members.values() if len(inside) > 1]
    pure = sum(len({group[listing] for listing in inside}) == 1 for inside in several)
    assert pure / len(several) > 0.85
    assert report.written["products"] == len(members)
    assert report.detail["products_of_several"] == len(several) > 50


def test_matches_equal_brute_force(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    """All pairs of listings with a photo, by a matrix of all similarities."""
    cfg = GroupProductsConfig(
        threshold={"both": 0.8, "text": 2.0}, matching={"neighbours": 5}, search={"block_rows": 37}
    )
    group_products(cfg, snapshot, embedded, tmp_path / "products")
    rows = load_embeddings(embedded)
    members = (~np.isnan(rows.image[:, 0])).nonzero()[0]
    vectors = np.concatenate([rows.image, rows.text], axis=1)[members].astype(float) / np.sqrt(2)
    similarity = vectors @ vectors.T
    nearest = [
        sorted((other for other in range(len(members)) if other != index), key=lambda other: -similarity[index, other])[
            :5
        ]
        for index in range(len(members))
    ]
    expected = {
        (rows.listing_ids[members[one]], rows.listing_ids[members[other]]): similarity[one, other]
        for one in range(len(members))
        for other in nearest[one]
        if one < other and one in nearest[other] and similarity[one, other] >= 0.8
    }
    found = pq.read_table(tmp_path / "products/matches.parquet").to_pylist()
    assert {(row["left"], row["right"]) for row in found} == set(expected)
    assert [(row["left"], row["right"]) for row in found] == sorted(expected)
    for row in found:
        assert row["score"] == pytest.approx(expected[row["left"], row["right"]], abs=1e-5)


@pytest.mark.parametrize("block_rows", [50, 4096])
def test_the_block_size_changes_nothing(snapshot: Path, embedded: Path, tmp_path: Path, block_rows: int) -> None:
    group_products(ALONE, snapshot, embedded, tmp_path / "one")
    group_products(
        GroupProductsConfig(keep_known_groups=False, search={"block_rows": block_rows}),
        snapshot,
        embedded,
        tmp_path / "other",
    )
    assert products_of(tmp_path / "one") == products_of(tmp_path / "other")


def test_twice_gives_equal_bytes(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    cfg = GroupProductsConfig()
    group_products(cfg, snapshot, embedded, tmp_path / "one")
    group_products(cfg, snapshot, embedded, tmp_path / "other")
    assert verify_folder(tmp_path / "one").files == verify_folder(tmp_path / "other").files
    assert group_products(cfg, snapshot, embedded, tmp_path / "one").outcome == "unchanged"


def test_known_groups_are_never_split(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    group_products(GroupProductsConfig(), snapshot, embedded, tmp_path / "products")
    found = products_of(tmp_path / "products")
    listings = pq.read_table(snapshot / "listings", columns=["listing_id", "group_id"]).to_pylist()
    of_group: dict[str, set[str]] = {}
    for row in listings:
        of_group.setdefault(row["group_id"], set()).add(found[row["listing_id"]])
    assert all(len(products) == 1 for products in of_group.values())


def test_listings_without_a_photo_are_matched_by_title(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    group_products(ALONE, snapshot, embedded, tmp_path / "products")
    photos = pq.read_table(snapshot / "listings", columns=["listing_id", "image_sha256"]).to_pylist()
    photoless = {row["listing_id"] for row in photos if row["image_sha256"] is None}
    sizes = Counter(products_of(tmp_path / "products").values())
    joined = [listing for listing, product in products_of(tmp_path / "products").items() if sizes[product] > 1]
    assert len(photoless & set(joined)) > len(photoless) / 3


def test_no_product_is_larger_than_the_limit(snapshot: Path, embedded: Path, tmp_path: Path) -> None:
    cfg = GroupProductsConfig(
        keep_known_groups=False, threshold={"both": -1.0, "text": -1.0}, matching={"max_product_size": 7}
    )
    group_products(cfg, snapshot, embedded, tmp_path / "products")
    assert max(Counter(products_of(tmp_path / "products").values()).values()) <= 7


def test_without_validation_groups_nothing_is_matched(make_snapshot: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_snapshot(120, lambda row: row.update(group_id=row["listing_id"]))
    report = group_products(GroupProductsConfig(), folder, tmp_path / "embedded", tmp_path / "products")
    assert report.detail["thresholds_found"] == {"both": False, "text": False}
    assert report.written == {"products": 120, "matches": 0}
    assert pq.read_table(tmp_path / "products/products.parquet")["score"].null_count == 120


@pytest.mark.parametrize("listings", [1, 2])
def test_one_or_two_listings_are_products(make_snapshot: Callable[..., Path], tmp_path: Path, listings: int) -> None:
    report = group_products(ALONE, make_snapshot(listings), tmp_path / "embedded", tmp_path / "products")
    assert report.written["products"] == listings
