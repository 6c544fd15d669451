"""From a listing to its line in the dump and its row of the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ecclip.sample.titles import attributes_of, description_of, title_of
from ecclip.sample.words import LEAVES
from ecclip.sample.world import WON, Listing, World

TRUTH_SCHEMA = pa.schema(
    [
        ("line", pa.int64()),
        ("listing_id", pa.string()),
        ("product_id", pa.string()),
        ("seller_id", pa.string()),
        ("category", pa.list_(pa.string())),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("brand", pa.string()),
        ("age_restricted", pa.bool_()),
        ("deleted", pa.bool_()),
        ("change", pa.string()),
        ("faults", pa.list_(pa.string())),
        ("photo_key", pa.string()),
        ("image_uri", pa.string()),
    ]
)


@dataclass(frozen=True)
class Line:
    """One line of the dump and what is true about it."""

    text: str
    truth: dict[str, Any]


def lines_of(world: World, listings: list[Listing], photos: dict[int, tuple[str, str]], night: str) -> list[Line]:
    """Return the lines of a night in file order; ``photos`` gives key and path by listing number."""
    lines: list[Line] = []
    again: list[Line] = []
    for listing in listings:
        key, uri = photos.get(listing.number, (None, None))
        row = _row(world, listing, uri)
        truth = _truth(world, listing, key, uri)
        text = json.dumps(row, ensure_ascii=False)
        if "malformed_line" in listing.faults:
            text = text[: len(text) * 2 // 3]
        lines.append(Line(text, truth))
        if "duplicate_id" in listing.faults:
            again.append(_second(world, listing, row, truth))
    rng = world.rng("order", night)
    for line in again:
        lines.insert(rng.randrange(len(lines) + 1), line)
    return [Line(line.text, {**line.truth, "line": place}) for place, line in enumerate(lines)]


def _second(world: World, listing: Listing, row: dict[str, Any], truth: dict[str, Any]) -> Line:
    """Return the second line of a duplicate id: half of them say the same, half an older price."""
    if world.rng("duplicate", listing.number).random() < 0.5:
        row = {
            **row,
            "price": _price(world, listing, listing.price_version + 1),
            "updated_at": f"{world.cfg.first_night[:4]}-01-01T00:00:00+00:00",
        }
    return Line(json.dumps(row, ensure_ascii=False), truth)


def _row(world: World, listing: Listing, uri: str | None) -> dict[str, Any]:
    product, seller = world.product(listing.product), world.sellers[listing.seller]
    rng = world.rng("fields", listing.number)
    leaf, given = LEAVES[product.appearance.leaf], {}
    if rng.random() < 0.86:
        given = {name: value for name, value in attributes_of(product).items() if rng.random() < 0.94}
    row = {
        "listing_id": listing.id,
        "seller_id": seller.id,
        "title": title_of(world, listing),
        "description": description_of(world, listing),
        "category": list(leaf.path) if rng.random() < 0.97 else None,
        "attributes": given or None,
        "brand": product.appearance.brand if rng.random() < 0.8 else None,
        "price": _price(world, listing, listing.price_version),
        "currency": seller.currency,
        "catalog_id": f"C{product.number * 7919 % 1_000_003:06d}"
        if product.in_catalog and rng.random() < 0.92
        else None,
        "age_restricted": leaf.age_restricted if rng.random() < 0.9 else None,
        "image_uri": uri,
        "updated_at": listing.updated_at,
        "deleted": listing.change == "deleted",
    }
    for fault, field in (("missing_id", "listing_id"), ("missing_title", "title")):
        if fault in listing.faults:
            way = rng.randrange(3)
            row[field] = None if way == 0 else "" if way == 1 else "  "
    return {name: value for name, value in row.items() if value is not None}


def _price(world: World, listing: Listing, version: int) -> str:
    seller = world.sellers[listing.seller]
    price = (
        world.product(listing.product).price * seller.margin * world.rng("price", listing.number).uniform(0.95, 1.05)
    )
    if version:
        price *= world.rng("price", listing.number, version).choice((0.7, 0.8, 0.9, 1.05, 1.1))
    return f"{price:.2f}" if seller.currency == "USD" else str(round(price * WON / 100) * 100)


def _truth(world: World, listing: Listing, key: str | None, uri: str | None) -> dict[str, Any]:
    product = world.product(listing.product)
    leaf = LEAVES[product.appearance.leaf]
    return {
        "listing_id": listing.id,
        "product_id": product.id,
        "seller_id": world.sellers[listing.seller].id,
        "category": list(leaf.path),
        "attributes": list(attributes_of(product).items()),
        "brand": product.appearance.brand,
        "age_restricted": leaf.age_restricted,
        "deleted": listing.change == "deleted",
        "change": listing.change or "unchanged",
        "faults": sorted(listing.faults),
        "photo_key": key,
        "image_uri": uri,
    }
