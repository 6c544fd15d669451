"""Real product photos with titles for the benchmarks: public sets, grouped and split without leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ecclip.formats import shards
from ecclip.formats.columns import CATEGORY_KEY, GROUP_ID

SETS = ("myntra_fashion", "myntra_more", "hm_articles", "flipkart1050")
_CATALOGUES = {"myntra_more": "myntra_fashion"}  # two sets of one shop: a title of both is one group


@dataclass(frozen=True)
class Product:
    """One listing with its photo; ``labels`` are what linear probes predict, ``keys`` what ties it to its group.

    ``published`` is its split where a set comes with one.
    """

    listing_id: str
    source: str
    title: str
    attributes: dict[str, str]
    labels: dict[str, str]
    keys: tuple[str, ...]
    image: bytes
    group: str = ""
    published: str = ""

    @property
    def split(self) -> str:
        """Return train, validation or test: as published, else a pure function of the group."""
        if self.published:
            return self.published
        place = int.from_bytes(hashlib.sha256(f"quality {self.group}".encode()).digest()[:4], "big") / 2**32
        return "train" if place < 0.75 else "validation" if place < 0.85 else "test"


def load_products(data: Path, sets: Sequence[str] = SETS) -> list[Product]:
    """Return every listing with a photo of some sets, with its group.

    Listings are one group when they share a title, a product code or a perceptual hash of the photo: none of these
    crosses the splits.
    """
    return in_groups([product for name in sets for product in _read(data / name, _READERS[name])])


def in_groups(products: Sequence[Product]) -> list[Product]:
    """Return the listings with their groups: those that share a key, directly or through others."""
    groups = _groups([product.keys for product in products])
    return [replace(one, group=group) for one, group in zip(products, groups, strict=True)]


def write_shards(products: Iterable[Product], folder: Path) -> None:
    """Write listings as the training shards of a snapshot."""
    rows = [
        {
            "listing_id": one.listing_id,
            GROUP_ID: one.group,
            CATEGORY_KEY: f"{one.source}/{one.labels['category']}",
            "title": one.title,
            "brand": None,
            "attributes": list(one.attributes.items()),
            "image": one.image,
        }
        for one in products
    ]
    shards.write_shards(folder, rows)


def _read(folder: Path, reader: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[Product]:
    photos = pq.read_table(folder / "images.parquet", columns=["id", "image", "phash"]).to_pylist()
    by_id = {str(photo["id"]): photo for photo in photos}
    for row in pq.read_table(folder / "listings.parquet").to_pylist():
        fields = reader(row)
        photo = by_id.get(fields.pop("id"))
        if photo is None:
            continue
        listing_id = f"{folder.name}:{photo['id']}"
        shop = _CATALOGUES.get(folder.name, folder.name)
        keys = (*(f"{shop}:{key}" for key in fields.pop("keys")), f"phash:{photo['phash']}")
        yield Product(listing_id=listing_id, source=folder.name, keys=keys, image=photo["image"], **fields)


def _myntra(row: dict[str, Any]) -> dict[str, Any]:
    title = row["productDisplayName"] or row["articleType"]
    return {
        "id": str(row["id"]),
        "title": title,
        "attributes": _given(row, ("articleType", "baseColour", "gender", "season", "usage")),
        "labels": _given(row, ("baseColour", "gender", "usage")) | {"category": row["articleType"]},
        "keys": [title.lower()],
    }


def _hm(row: dict[str, Any]) -> dict[str, Any]:
    # a name such as "Tess" says nothing: the kind of product belongs to what a shop would call the title
    parts = (row["prod_name"], row["colour_group_name"], row["product_type_name"])
    return {
        "id": str(row["article_id"]),
        "title": " ".join(part for part in parts if part),
        "attributes": _given(row, ("graphical_appearance_name", "garment_group_name", "index_name", "detail_desc")),
        "labels": {"category": row["product_type_name"], "baseColour": row["colour_group_name"]},
        "keys": [f"code {row['product_code']}"],
    }


def _flipkart(row: dict[str, Any]) -> dict[str, Any]:
    path = [part.strip() for part in row["product_category_tree"].strip('[]"').split(">>")]
    attributes = {"brand": row["brand"]} if row["brand"] else {}
    return {
        "id": str(row["uniq_id"]),
        "title": row["product_name"],
        "attributes": attributes | ({"kind": path[1]} if len(path) > 2 else {}),
        "labels": {"category": path[0]},
        "keys": [row["product_name"].lower()],
    }


def _given(row: dict[str, Any], names: Iterable[str]) -> dict[str, str]:
    return {name: str(row[name]) for name in names if row[name]}


_READERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "myntra_fashion": _myntra,
    "myntra_more": _myntra,
    "hm_articles": _hm,
    "flipkart1050": _flipkart,
}


def _groups(keys: list[tuple[str, ...]]) -> list[str]:
    """Return one name for all listings that keys tie together, directly or through others (union-find)."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for own in keys:
        for key in own[1:]:
            first, second = sorted((root(own[0]), root(key)))
            parent[second] = first
    return [root(own[0]) for own in keys]
