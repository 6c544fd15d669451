"""Public sets as shops: listings with photos, titles and labels, whose groups never cross the splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ecclip.bench.quality.data import Product, in_groups, load_products
from ecclip.bench.quality.evaluated import groups_of
from ecclip.formats.sampling import smallest_hashes

ICONIC = "iconic"  # listing ids of catalogue photos begin so
_MOST_TEXTS = 10_000  # listings of a set without photos; by judgment
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
# names of clothing_small to those of myntra_fashion; its long sleeves have none
_SHIFTED = {
    "t-shirt": ("Tshirts",),
    "shirt": ("Shirts",),
    "pants": ("Trousers", "Jeans", "Track Pants"),
    "shoes": ("Casual Shoes", "Sports Shoes", "Formal Shoes"),
    "dress": ("Dresses",),
    "shorts": ("Shorts",),
    "outwear": ("Jackets",),
    "hat": ("Caps", "Hat"),
    "skirt": ("Skirts",),
}


@dataclass(frozen=True)
class Shop:
    """Listings of a set, by the name under which what is made of them is kept."""

    name: str
    products: list[Product]

    @property
    def split(self) -> list[str]:
        """Return train, validation or test of every listing."""
        return [one.split for one in self.products]

    @property
    def groups(self) -> np.ndarray:
        """Return the number of each listing's group, int64 [N]: what is resampled together."""
        return groups_of(self.products)


@lru_cache(maxsize=3)
def shop_of(data: Path, name: str) -> Shop:
    """Return a set of ``data`` by its name."""
    return Shop(name, _READERS[name](data))


def shifted(shop: Shop) -> Shop:
    """Return the studio photos of myntra_fashion with the category names of clothing_small, as far as there are."""
    names = {own: name for name, every in _SHIFTED.items() for own in every}

    def labels(one: Product) -> dict[str, str]:
        name = names.get(one.labels["category"])
        return {"category": name} if name else {}

    return Shop(shop.name, [replace(one, labels=labels(one)) for one in shop.products])


def _myntra(data: Path) -> list[Product]:
    return load_products(data, ("myntra_fashion", "myntra_more"))


def _bigbasket(data: Path) -> list[Product]:
    """Return listings without photos: name and kind."""
    rows = pq.read_table(data / "bigbasket" / "listings.parquet").to_pylist()
    kept = sorted(smallest_hashes([str(row["index"]) for row in rows], _MOST_TEXTS))
    return in_groups([_listing("bigbasket", rows[place]) for place in kept])


def _listing(source: str, row: Mapping[str, Any]) -> Product:
    title = str(row["product"])
    labels = {"category": f"{row['category']}/{row['sub_category']}"}
    return Product(f"{source}:{row['index']}", source, title, {}, labels, (title.lower(),), b"")


def _grocery(data: Path) -> list[Product]:
    """Return shelf photos and the catalogue's photo of every class; the title is the name of the class.

    Photos of split test that train or validation have, too, are left out.
    """
    folder = data / "grocery_store"
    classes = pq.read_table(folder / "classes.parquet").to_pylist()
    names = {str(row["Class ID (int)"]): str(row["Class Name (str)"]).replace("-", " ") for row in classes}
    kinds = {row["id"]: str(row["fine_id"]) for row in pq.read_table(folder / "listings.parquet").to_pylist()}
    seen: set[str] = set()
    found = [_grocery_product(ICONIC, "train", row, str(row["id"]), names) for row in _photos(folder, "iconic")]
    for part, split in _SPLITS.items():
        photos = [row for row in _photos(folder, part) if part != "test" or row["phash"] not in seen]
        seen |= {row["phash"] for row in photos}
        found += [_grocery_product("shelf", split, row, kinds[row["id"]], names) for row in photos]
    return found


def _grocery_product(kind: str, split: str, photo: Mapping[str, Any], number: str, names: dict[str, str]) -> Product:
    labels = {"category": names[number]}
    listing_id = f"{kind}:{photo['id']}"
    return Product(listing_id, "grocery_store", names[number], {}, labels, (), photo["image"], names[number], split)


def _clothing(data: Path) -> list[Product]:
    """Return photos that people took at home, all of split test; those of a sender are resampled together."""
    folder = data / "clothing_small"
    photos = {row["id"]: row["image"] for part in ("train", "validation", "test") for row in _photos(folder, part)}
    return [
        Product(
            listing_id=f"clothing_small:{row['id']}",
            source="clothing_small",
            title="",
            attributes={},
            labels={"category": row["label"]} if row["label"] in _SHIFTED else {},
            keys=(),
            image=photos[row["id"]],
            group=f"sender {row['sender_id']}",
            published="test",
        )
        for row in pq.read_table(folder / "listings.parquet").to_pylist()
        if row["id"] in photos
    ]


def _photos(folder: Path, part: str) -> Iterator[dict[str, Any]]:
    yield from pq.read_table(folder / f"images_{part}.parquet", columns=["id", "image", "phash"]).to_pylist()


_READERS: dict[str, Callable[[Path], list[Product]]] = {
    "myntra_fashion": _myntra,
    "hm_articles": lambda data: load_products(data, ("hm_articles",)),
    "flipkart1050": lambda data: load_products(data, ("flipkart1050",)),
    "bigbasket": _bigbasket,
    "grocery_store": _grocery,
    "clothing_small": _clothing,
}
