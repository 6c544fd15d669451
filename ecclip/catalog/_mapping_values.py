"""From one foreign row to one row of the dump contract."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from string import Formatter
from typing import Any

from ecclip.catalog._mapping_model import Attributes, Mapping, Value, Words

_TRUE, _FALSE = frozenset({"true", "1", "yes", "y", "t"}), frozenset({"false", "0", "no", "n", "f"})
_TOKENS = re.compile(r'("(?:[^"\\]|\\.)*")|(=>)|\bnil\b')
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")


def listing_of(mapping: Mapping, row: dict[str, Any] | None, night: str, notes: Counter[str]) -> dict[str, Any]:
    """Return a row of the dump; ``notes`` counts what could not be read, by field."""
    if row is None:
        notes["unreadable_rows"] += 1
        row = {}
    nulls = frozenset(mapping.null_values)
    fields = mapping.columns

    def value(name: str) -> Any:
        declared = getattr(fields, name)
        return None if declared is None else value_of(declared, row, nulls, notes, name)

    listing: dict[str, Any] = {
        name: text_of(value(name))
        for name in ("listing_id", "seller_id", "title", "description", "brand", "currency", "catalog_id", "updated_at")
    }
    photo = value("image")
    read = fields.image is not None and fields.image.read
    listing |= {
        "category": _list_of(value("category")),
        "attributes": _attributes(mapping.attributes, row, nulls, notes),
        "price": text_of(value("price")),
        "image": photo if isinstance(photo, bytes) else None,
        "image_uri": text_of(photo) if read else text_of(value("image_uri")),
        "deleted": flag_of(value("deleted")) or False,
    }
    listing["updated_at"] = moment_of(listing["updated_at"]) or f"{night}T00:00:00+00:00"
    listing["age_restricted"] = _age_restricted(mapping, row, listing, nulls, notes)
    return listing


def unknown_columns(mapping: Mapping, names: set[str]) -> dict[str, str]:
    """Return the fields that ask for a column outside ``names``, with that column."""
    return {
        field: column
        for field, value in mapping.values().items()
        for column in value.source_columns()
        if column not in names and column.split(".")[0] not in names
    }


def value_of(value: Value, row: dict[str, Any], nulls: frozenset[str], notes: Counter[str], name: str) -> Any:
    """Return what a declared value is in a row: None, text, bytes, a list of texts or a parsed structure."""
    found = _origin(value, row, nulls)
    if found is None or isinstance(found, bytes):
        return found
    if value.parse and isinstance(found, str):
        found = parsed(found, value.parse)
        if found is None:
            notes[f"unparsed_{name}"] += 1
            return None
    if isinstance(found, str) and (value.strip or value.split):
        found = found.strip(value.strip + " \t\r\n") if value.strip else found
        if value.split is not None:
            found = [part.strip() for part in found.split(value.split)]
    if isinstance(found, list):
        found = _shortened(value, [part for part in (_plain(item, nulls) for item in found) if part is not None], row)
    if value.number:
        match = _NUMBER.search(text_of(found) or "")
        return match.group().replace(",", "") if match else found
    if value.lower:
        return [part.lower() for part in found] if isinstance(found, list) else (text_of(found) or "").lower()
    return found


def _origin(value: Value, row: dict[str, Any], nulls: frozenset[str]) -> Any:
    if value.constant is not None:
        # a row that could not be read stays empty, so that it is quarantined for what it is
        return value.constant if row else None
    if value.column is not None:
        return _plain(_at(row, value.column), nulls)
    if value.columns is not None:
        return [_at(row, name) for name in value.columns]
    parts = []
    for literal, name, _, _ in Formatter().parse(value.template or ""):
        part = text_of(_plain(_at(row, name), nulls)) if name else ""
        if part is None:
            return None
        parts.append(literal + part)
    return "".join(parts)


def _at(row: dict[str, Any], name: str) -> Any:
    if name in row or "." not in name:
        return row.get(name)
    first, rest = name.split(".", 1)
    inner = row.get(first)
    return _at(inner, rest) if isinstance(inner, dict) else None


def _plain(value: Any, nulls: frozenset[str]) -> Any:
    """Return the value, or None for what stands for nothing."""
    if isinstance(value, str):
        text = value.strip()
        return None if text in nulls else text
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _shortened(value: Value, parts: list[Any], row: dict[str, Any]) -> list[str]:
    texts = [text for text in (text_of(part) for part in parts) if text]
    texts = texts[: len(texts) - value.drop_last] if value.drop_last else texts
    if value.drop_last_like:
        words = (text_of(_at(row, value.drop_last_like)) or "").split()
        while words and len(texts) > 1 and texts[-1].lower().split()[:1] == [words[0].lower()]:
            texts = texts[:-1]
    return texts


def text_of(value: Any) -> str | None:
    """Return a value as the text of the dump contract: whole floats without a fraction, structures as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def flag_of(value: Any) -> bool | None:
    """Return true or false for the usual words and numbers, None for anything else."""
    word = (text_of(value) or "").strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def moment_of(text: str | None) -> str | None:
    """Return a time as ISO 8601 in UTC (a time without a zone is taken as UTC); other text stays as it is."""
    if text is None:
        return None
    joined = re.sub(r"\s*(?:UTC|GMT)$", "Z", re.sub(r"\s+(?=[+-]\d\d:?\d\d$)", "", text))
    try:
        moment = datetime.fromisoformat(joined)
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def parsed(text: str, notation: str) -> Any:
    """Return the list or map that a text holds in JSON or as a Ruby hash, or None when it does not."""
    if notation == "ruby_hash":
        text = _TOKENS.sub(lambda match: match.group(1) or (":" if match.group(2) else "null"), text)
    try:
        found = json.loads(text, strict=False)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


def pairs_of(value: Any) -> list[tuple[str, Any]]:
    """Return name and value of a map, of a list of ``{key, value}``, or of either one level down."""
    if isinstance(value, list):
        return [pair for item in value for pair in pairs_of(item)]
    if not isinstance(value, dict):
        return []
    if "value" in value:
        name = value.get("key") or value.get("name")
        return [(str(name), value["value"])] if name else []
    inner = [item for item in value.values() if isinstance(item, dict | list)]
    plain = [(str(name), item) for name, item in value.items() if not isinstance(item, dict | list)]
    return plain + [pair for item in inner for pair in pairs_of(item)]


def _list_of(value: Any) -> list[str] | None:
    if value is None or isinstance(value, list):
        return value or None
    return [part.strip() for part in str(value).split(" > ")]


def _attributes(
    declared: Attributes, row: dict[str, Any], nulls: frozenset[str], notes: Counter[str]
) -> list[tuple[str, str]] | None:
    found: dict[str, str | None] = {
        name: text_of(value_of(value, row, nulls, notes, name)) for name, value in declared.columns.items()
    }
    if declared.map is not None:
        given: dict[str, str | None] = {}
        for name, item in pairs_of(value_of(declared.map, row, nulls, notes, "attributes")):
            given.setdefault(name.strip().lower(), text_of(_plain(item, nulls)))
        keep = {name: name for name in given} if declared.keep is None else declared.keep
        for name, target in keep.items():
            if found.get(target) is None:
                found[target] = given.get(name.lower())
    pairs = [(name, text.lower() if declared.lower else text) for name, text in sorted(found.items()) if text]
    return pairs or None


def _age_restricted(
    mapping: Mapping, row: dict[str, Any], listing: dict[str, Any], nulls: frozenset[str], notes: Counter[str]
) -> bool | None:
    declared = mapping.age_restricted
    if declared is None or not row:
        return None
    if isinstance(declared, Words):
        pattern = _pattern(tuple(declared.words))
        texts = [listing[name] for name in declared.fields]
        return any(pattern.search(" > ".join(text) if isinstance(text, list) else text) for text in texts if text)
    return flag_of(value_of(declared, row, nulls, notes, "age_restricted"))


@lru_cache(maxsize=8)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(re.escape(word) for word in words) + r")(?!\w)", re.IGNORECASE)
