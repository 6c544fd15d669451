"""From one foreign row to one row of the dump: a listing, or a problem with its detail and raw text."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Any, NamedTuple

from ecclip.catalog.dump.cells import holds_several_paths, path_names
from ecclip.catalog.dump.contract import DUMP_FIELDS, PROBLEM_COLUMNS
from ecclip.catalog.dump.record import UNDECODABLE, Row, has_half_pair, json_text, shown
from ecclip.catalog.mapping.model import Mapping, Value, Words
from ecclip.catalog.mapping.notation import parsed
from ecclip.catalog.mapping.prices import Numbers, currency_of, refuse_other_currency
from ecclip.catalog.mapping.values import (
    BadCellError,
    RowCells,
    attributes_of,
    flag_in,
    moment_of,
    plain_text,
    text_of,
    value_of,
)

_TEXTS = ("listing_id", "seller_id", "title", "description", "brand", "catalog_id")
_EMPTY = dict.fromkeys([*(field.name for field in DUMP_FIELDS), *PROBLEM_COLUMNS])


class SourceRow(NamedTuple):
    """A record of a foreign table and the file it comes from."""

    row: Row
    file: str


def listing_of(mapping: Mapping, numbers: Numbers, source: SourceRow, notes: Counter[str]) -> dict[str, Any]:
    """Return a row of the dump; one that cannot be used holds its reason, detail and raw text instead of fields.

    ``notes`` counts cells that hold no list or map where they should, by field.
    """
    if source.row.cells is None:
        return refused_listing(source, source.row.problem or "malformed_record", source.row.detail)
    row = RowCells(source.row.cells, frozenset(mapping.null_values), notes)
    try:
        listing = _EMPTY | _fields(mapping, numbers, row)
        if any(has_half_pair(text) for text in _texts_in(listing)):
            raise BadCellError(UNDECODABLE, "half of a surrogate pair (an emoji cut in two)")
    except BadCellError as error:
        return refused_listing(source, error.reason, error.detail)
    return listing


def refused_listing(source: SourceRow, reason: str, detail: str) -> dict[str, Any]:
    """Return the row of the dump that ingest quarantines for ``reason``."""
    row = source.row
    raw = row.text or json_text({name: cell for name, cell in (row.cells or {}).items() if not isinstance(cell, bytes)})
    where = f"{source.file}:{row.line}: {detail}"
    return {**_EMPTY, "_problem": reason, "_detail": shown(where)[:500], "_raw": shown(raw)}


def _fields(mapping: Mapping, numbers: Numbers, row: RowCells) -> dict[str, Any]:
    def value(name: str) -> Any:
        declared = mapping.field(name)
        return None if declared is None else value_of(declared, row, name)

    listing: dict[str, Any] = {name: plain_text(value(name), name) for name in _TEXTS}
    photo, declared, time = value("image"), mapping.field("image"), mapping.field("updated_at")
    read = declared is not None and declared.read
    listing |= {
        "category": _list_of(value("category")),
        "image": photo if isinstance(photo, bytes) else None,
        "image_uri": text_of(photo) if read else text_of(value("image_uri")),
        "updated_at": moment_of(text_of(value("updated_at")), time.time if time is not None else None),
        "deleted": flag_in(value("deleted"), "deleted") or False,
    }
    listing |= _price(mapping, numbers, row)
    listing["attributes"] = _attributes(mapping, numbers, row)
    listing["age_restricted"] = _age_restricted(mapping, row, listing)
    return listing


def _price(mapping: Mapping, numbers: Numbers, row: RowCells) -> dict[str, str | None]:
    currency = currency_of(mapping.field("currency"), row)
    column = numbers.columns.get("columns.price")
    if column is None:
        return {"price": None, "currency": currency}
    found = value_of(column.value, row, "price")
    refuse_other_currency(found, currency)
    return {"price": column.amount(found, currency), "currency": currency}


def _attributes(mapping: Mapping, numbers: Numbers, row: RowCells) -> list[tuple[str, str]] | None:
    pairs = dict(attributes_of(mapping.attributes, row) or [])
    for name in mapping.attributes.columns:
        column = numbers.columns.get(f"attributes.columns.{name}")
        if column is not None and name in pairs:
            pairs[name] = column.amount(value_of(column.value, row, name), None) or ""
    return list(pairs.items()) or None


def _texts_in(listing: dict[str, Any]) -> list[str]:
    texts = [value for value in listing.values() if isinstance(value, str)]
    texts += listing["category"] or []
    return texts + [text for pair in listing["attributes"] or [] for text in pair]


def _list_of(value: Any) -> list[str] | None:
    names = _names_of(value)
    if names and holds_several_paths(names):
        detail = f"several paths in one cell (the setting is between): {' > '.join(names)}"
        raise BadCellError("bad_category", detail[:200])
    return names or None


def _names_of(value: Any) -> list[str]:
    if isinstance(value, list):
        return value
    text = text_of(value)
    if text is None:
        return []
    names: Any = path_names(text)
    if isinstance(value, dict) or (text.startswith("[") and text.endswith("]")):
        names = parsed(text, "json")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadCellError("bad_category", f"no list of names (see parse, split, each): {text}"[:200])
    return [part for part in map(str.strip, names) if part]


def _age_restricted(mapping: Mapping, row: RowCells, listing: dict[str, Any]) -> bool | None:
    declared = mapping.age_restricted
    if isinstance(declared, Words):
        pattern = _pattern(tuple(declared.words))
        texts = [listing[name] for name in declared.fields]
        return any(pattern.search(" > ".join(text) if isinstance(text, list) else text) for text in texts if text)
    found = value_of(declared, row, "age_restricted") if isinstance(declared, Value) else None
    return flag_in(found, "age_restricted")


@lru_cache(maxsize=8)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?!\w)", re.IGNORECASE)
