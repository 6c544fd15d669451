"""Public sets with restricted goods as shops: titles of groceries, and photos of bottles beside packaged goods."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from ecclip.bench.quality.data import Product, in_groups, load_products
from ecclip.bench.tasks.photos.shops import Shop, shop_of
from ecclip.embed.borders import border_alone, border_of
from ecclip.formats.sampling import smallest_hashes

RESTRICTED, BORDERS = "restricted", "borders"
_OTHERS = 10_000  # unrestricted titles of a set; by judgment: minutes of encoding
_KINDS = {"Sexual Wellness", "Knives & Peelers", "Lighters"}
_PACKAGED = {
    "Juice", "Milk", "Oat-Milk", "Oatghurt", "Sour-Cream", "Sour-Milk", "Soy-Milk", "Soyghurt", "Yoghurt",
}  # fmt: skip
_SHELVES = 300  # shelf photos of packaged goods among the negatives; by judgment
_WITHIN = (0.01, 0.99)  # quantiles of the borders of restricted train photos that a like background lies within
_SIDE = 96  # pixels of the picture whose border is measured; by judgment


@lru_cache(maxsize=2)
def restricted_shop(data: Path, name: str) -> Shop:
    """Return a set with restricted goods by its name; listings of a title or a photo's hash never cross the splits."""
    readers = {"instacart_products": _instacart, "bigbasket": _bigbasket, "whisky_bottles": _bottles}
    return Shop(f"{name} {RESTRICTED}", readers[name](data))


def bordered(shop: Shop) -> Shop:
    """Return a shop of whose photos only the border is left."""
    cut = [replace(one, image=border_alone(_as_jpeg(one.image))) for one in shop.products]
    return Shop(f"{shop.name} {BORDERS}", cut)


def looks_of(shop: Shop) -> np.ndarray:
    """Return the mean and the standard deviation of the light of photos' borders, [N, 2], NaN without one."""
    looks = [_look(one.image) if one.image else (np.nan, np.nan) for one in shop.products]
    return np.array(looks)


def on_like_backgrounds(shop: Shop) -> np.ndarray:
    """Return bool [N]: the photos whose border is as light and as even as those of restricted photos of split train."""
    looks = looks_of(shop)
    taught = np.array([RESTRICTED in one.labels and one.split == "train" for one in shop.products])
    low, high = (np.quantile(looks[taught], edge, axis=0) for edge in _WITHIN)
    found: np.ndarray = ((looks >= low) & (looks <= high)).all(axis=1)
    return found


def _instacart(data: Path) -> list[Product]:
    rows = pq.read_table(data / "instacart_products" / "listings.parquet").to_pylist()
    titled = ((str(row["product_id"]), row["product_name"], row["department"] == "alcohol") for row in rows)
    return _texts("instacart_products", titled)


def _bigbasket(data: Path) -> list[Product]:
    rows = pq.read_table(data / "bigbasket" / "listings.parquet").to_pylist()
    return _texts("bigbasket", ((str(row["index"]), row["product"], row["type"] in _KINDS) for row in rows))


def _texts(source: str, rows: Iterable[tuple[str, str | None, bool]]) -> list[Product]:
    """Return all restricted titles and a sample of the others, as listings without photos."""
    known = [(number, title, flag) for number, title, flag in rows if title]
    others = [row for row in known if not row[2]]
    kept = [others[place] for place in sorted(smallest_hashes([row[0] for row in others], _OTHERS))]
    found = [*(row for row in known if row[2]), *kept]
    return in_groups(
        [
            Product(f"{source}:{number}", source, title, {}, _labels(flag), (title.lower(),), b"")
            for number, title, flag in found
        ]
    )


def _bottles(data: Path) -> list[Product]:
    """Return bottles, and as negatives goods of a shop, and packaged groceries on catalogue and shelf photos."""
    folder = data / "whisky_bottles"
    photos = {row["id"]: row for row in pq.read_table(folder / "images.parquet").to_pylist()}
    rows = pq.read_table(folder / "listings.parquet").to_pylist()
    bottles = in_groups([_bottle(row, photos[row["id"]]) for row in rows if row["id"] in photos])
    shop = [_negative(one) for one in load_products(data, ("flipkart1050",))]
    return [*bottles, *shop, *map(_negative, _groceries(data))]


def _bottle(row: Mapping[str, Any], photo: Mapping[str, Any]) -> Product:
    keys = (str(row["name"]).lower(), f"phash:{photo['phash']}")
    return Product(f"bottle:{row['id']}", "bottles", row["name"], {}, _labels(True), keys, photo["image"])


def _groceries(data: Path) -> list[Product]:
    classes = pq.read_table(data / "grocery_store" / "classes.parquet").to_pylist()
    packaged = {
        str(row["Class Name (str)"]).replace("-", " ") for row in classes if row["Coarse Class Name (str)"] in _PACKAGED
    }
    every = [one for one in shop_of(data, "grocery_store").products if one.title in packaged]
    shelves = [one for one in every if one.listing_id.startswith("shelf")]
    kept = smallest_hashes([one.listing_id for one in shelves], _SHELVES)
    return [one for one in every if one not in shelves] + [shelves[place] for place in sorted(kept)]


def _negative(one: Product) -> Product:
    """Return a listing whose split follows from its group alone, as that of the bottles does."""
    return replace(one, labels={"category": "other"}, published="")


def _labels(flag: bool) -> dict[str, str]:
    return {"category": RESTRICTED, RESTRICTED: "yes"} if flag else {"category": "other"}


def _look(photo: bytes) -> tuple[float, float]:
    """Return the mean and the standard deviation of the light of a photo's border."""
    with Image.open(io.BytesIO(photo), formats=("JPEG",)) as image:
        light = np.asarray(image.convert("L").resize((_SIDE, _SIDE)), dtype=np.float64)
    border = light[border_of(_SIDE, _SIDE)]
    return float(border.mean()), float(border.std())


def _as_jpeg(photo: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(photo), formats=("JPEG",)) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
