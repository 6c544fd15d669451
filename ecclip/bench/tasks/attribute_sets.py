"""Public sets of listings with annotated attribute values, by their published splits where they have some."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ecclip.tasks.attributes.open_values import Labelled

TRAIN, VALIDATION, TEST = "train", "validation", "test"
NOT_THERE = "n/a"
_ONE_OF = 8  # listings of the published train split that are validation; by judgment
_LEAST_SPANS = 30  # of a type without a published protocol that is asked for; by judgment


@dataclass(frozen=True)
class _Row:
    """One listing; ``stated`` is by attribute its values as annotated, none where the annotation says so."""

    listing_id: str
    split: str
    category: str
    title: str
    description: str | None
    stated: Mapping[str, Sequence[str]]
    asked: Sequence[str]


def load_attribute_set(data: Path, name: str) -> Labelled:
    """Return the listings of a set, each asked about the attributes that the set's protocol asks for.

    Listings of train whose title stands in test are left out, equal titles stay in one split.
    """
    rows = _READERS[name](data / name)
    test = {row.title.casefold() for row in rows if row.split == TEST}
    kept = [row for row in rows if row.split == TEST or row.title.casefold() not in test]
    return Labelled(
        listing_ids=[row.listing_id for row in kept],
        titles=[row.title for row in kept],
        descriptions=[row.description for row in kept],
        categories=[row.category for row in kept],
        stated=[row.stated for row in kept],
        asked=[sorted(row.asked) for row in kept],
        groups=np.unique([row.title.casefold() for row in kept], return_inverse=True)[1],
        split=np.array([row.split if row.split == TEST else _part(row.title) for row in kept]),
    )


def _part(title: str) -> str:
    return VALIDATION if _number(title) % _ONE_OF == 0 else TRAIN


def _number(title: str) -> int:
    return int(hashlib.sha256(title.casefold().encode()).hexdigest()[:8], 16)


def _extracted(folder: Path) -> list[_Row]:
    """Return a set of ExtractGPT: asked for is what the annotation of a listing names, values as in the title."""
    rows = []
    for number, row in enumerate(_records(folder / "listings.parquet")):
        stated = {
            name: [value.strip() for value in values if value != NOT_THERE]
            for name, values in json.loads(row["target_scores"]).items()
        }
        rows.append(_Row(f"{number:06d}", row["split"], row["category"], row["title"], None, stated, [*stated]))
    return rows


def _pave(folder: Path) -> list[_Row]:
    """Return WDC PAVE: asked for are the attributes of the category that its page scores, values as in the texts."""
    cells: dict[int, list[dict[str, Any]]] = {}
    for cell in _records(folder / "attributes.parquet"):
        cells.setdefault(cell["id"], []).append(cell)
    rows = []
    for offer in _records(folder / "offers.parquet"):
        own = cells.get(offer["id"], [])
        stated = {cell["attribute"]: list(cell["values"]) for cell in own}
        asked = [cell["attribute"] for cell in own if cell["in_paper"]]
        texts = (offer["title"], offer["description"])
        rows.append(_Row(f"{offer['id']:010d}", offer["split"], offer["category"], *texts, stated, asked))
    return rows


def _spans(folder: Path) -> list[_Row]:
    """Return titles with typed spans: the frequent types are asked for, one test title of five by its hash."""
    given = [(row, json.loads(row["spans"])) for row in _records(folder / "listings.parquet")]
    frequent = [name for name, count in _counts(spans for _, spans in given).items() if count >= _LEAST_SPANS]
    rows = []
    for row, spans in given:
        title = row["title"]
        stated = {name: [title[first:stop] for kind, first, stop in spans if kind == name] for name in frequent}
        split = TEST if _number(f"test {title}") % 5 == 0 else TRAIN
        rows.append(_Row(f"{row['id']:06d}", split, "", title, None, stated, frequent))
    return rows


def _counts(spans: Iterable[Sequence[Sequence[Any]]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in spans:
        for kind, *_ in one:
            found[kind] = found.get(kind, 0) + 1
    return found


def _records(path: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(path).to_pylist())


_READERS: dict[str, Callable[[Path], list[_Row]]] = {
    "ae_110k_subset": _extracted,
    "oa_mine": _extracted,
    "wdc_pave": _pave,
    "indonesian_attributes": _spans,
}
SETS = tuple(_READERS)
