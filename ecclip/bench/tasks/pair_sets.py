"""Public sets of offers with labelled pairs: what is one product, split as published, leaks removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ecclip.tasks.matching.teaching import groups_of

TRAIN, VALIDATION, TEST = "train", "valid", "test"


@dataclass(frozen=True)
class PairSet:
    """Offers as a shop would list them and labelled pairs of them.

    Attributes:
        name: of the set.
        rows: offers with the columns that pairs are compared by.
        table: 0 or 1 for the table of an offer [N]; all 0 where every offer may match every other.
        left: row numbers of the pairs [M].
        right: row numbers of the pairs [M].
        labels: 1 for one product, 0 for two [M].
        split: train, valid or test [M].
        products: product of every offer [N], as far as labels say; an offer without a match is one of its own.
    """

    name: str
    rows: list[dict[str, Any]]
    table: np.ndarray
    left: np.ndarray
    right: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    products: np.ndarray

    def within(self, split: str) -> np.ndarray:
        """Return the places of a split's pairs."""
        return np.flatnonzero(self.split == split)


def load_pair_set(data: Path, name: str) -> PairSet:
    """Return a set of ``data`` by its name.

    Pairs of split test, in either order, are taken out of train and valid: the sources have some of them there.
    """
    return _READERS[name](data)


def read_table(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table of a public set."""
    found: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return found


def _abt_buy(data: Path) -> PairSet:
    return _two_tables(data, "abt_buy", lambda row: _offer(row["name"], row["description"], None, row["price"]))


def _amazon_google(data: Path) -> PairSet:
    return _two_tables(data, "amazon_google", lambda row: _offer(row["title"], None, row["manufacturer"], row["price"]))


def _wdc_half_seen(data: Path) -> PairSet:
    return wdc_products(data, "wdc_products", None)


def _wdc_seen(data: Path) -> PairSet:
    """The second test set, without pairs that train or valid have; of both products some offers are in train."""
    return wdc_products(data, "wdc_products seen", 2)


def _wdc_second(data: Path) -> PairSet:
    """The whole second test set without pairs that train or valid have: mostly of products that train lacks."""
    return wdc_products(data, "wdc_products second", 0)


def wdc_products(data: Path, name: str, seen: int | None) -> PairSet:
    """Return WDC Products with its own test pairs, or with those of the second set.

    Args:
        data: the folder of all sets.
        name: of the set.
        seen: None for its own test pairs, else how many of the two products at least occur in the train offers.
    """
    folder = data / name.split()[0]
    offers = read_table(folder, "offers")
    pairs = read_table(folder, "pairs")
    if seen is not None:
        offers += read_table(folder, "offers_seen")
        second = read_table(folder, "pairs_seen")
        asked = [row for row in second if row["clusters_in_train"] >= seen and not _repeats(row["also_in"])]
        pairs = [row for row in pairs if row["split"] != TEST] + [row | {"split": TEST} for row in asked]
    place = {row["offer_id"]: number for number, row in enumerate(offers)}
    rows = [wdc_offer(row) for row in offers]
    clusters = np.unique([str(row["cluster_id"]) for row in offers], return_inverse=True)[1]
    return _pair_set(name, rows, np.zeros(len(rows), int), place, pairs, clusters)


def wdc_offer(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an offer of WDC as a shop would list it; the currency is left out, as in the blocking tables."""
    return _offer(row["title"], row["description"], row["brand"], row["price"])


def _repeats(also_in: str | None) -> bool:
    return any(split in (also_in or "") for split in (TRAIN, VALIDATION))


def _two_tables(data: Path, name: str, reader: Callable[[Mapping[str, Any]], dict[str, Any]]) -> PairSet:
    offers = read_table(data / name, "offers")
    place = {row["offer_id"]: number for number, row in enumerate(offers)}
    table = np.array([int(row["source"] != offers[0]["source"]) for row in offers])
    pairs = read_table(data / name, "pairs")
    return _pair_set(name, [reader(row) for row in offers], table, place, pairs, None)


def _pair_set(
    name: str,
    rows: list[dict[str, Any]],
    table: np.ndarray,
    place: Mapping[Any, int],
    pairs: list[dict[str, Any]],
    products: np.ndarray | None,
) -> PairSet:
    held_out = {frozenset((row["offer_a"], row["offer_b"])) for row in pairs if row["split"] == TEST}
    kept = [row for row in pairs if row["split"] == TEST or frozenset((row["offer_a"], row["offer_b"])) not in held_out]
    left, right = (np.array([place[row[side]] for row in kept]) for side in ("offer_a", "offer_b"))
    labels = np.array([int(row["label"]) for row in kept])
    if products is None:
        same = labels == 1
        products = groups_of(left[same], right[same], len(rows))
    return PairSet(name, rows, table, left, right, labels, np.array([row["split"] for row in kept]), products)


def _offer(title: str | None, description: str | None, brand: str | None, price: Any) -> dict[str, Any]:
    return {
        "title": title or "",
        "description": description,
        "brand": brand,
        "category": None,
        "attributes": None,
        "price": _number(price),
        "currency": None,
        "phash": None,
    }


def _number(price: Any) -> float | None:
    try:
        found = float(price)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) and found > 0 else None


_READERS: dict[str, Callable[[Path], PairSet]] = {
    "abt_buy": _abt_buy,
    "amazon_google": _amazon_google,
    "wdc_products": _wdc_half_seen,
    "wdc_products seen": _wdc_seen,
    "wdc_products second": _wdc_second,
}
