"""One declared value of one foreign row: taken from its columns and transformed as the mapping says."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from string import Formatter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ecclip.catalog.dump.cells import EXACT, FLAGS
from ecclip.catalog.mapping.model import Attributes, NamedValue, Time, Value
from ecclip.catalog.mapping.notation import named_parts, pairs_of, parsed, parts_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS = {"epoch": 1, "epoch_ms": 1000}


class BadCellError(ValueError):
    """A cell that makes its row unusable: ``reason`` as in the quarantine, ``detail`` for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class RowCells(NamedTuple):
    """A foreign row, its null values, and where to count unreadable cells by field."""

    cells: dict[str, Any]
    nulls: frozenset[str]
    notes: Counter[str]


def value_of(value: Value, row: RowCells, name: str) -> Any:
    """Return what a declared value is in a row: None, text, bytes, a list of texts or a parsed structure."""
    found = _origin(value, row, name)
    if found is None or isinstance(found, bytes):
        return found
    found = _structure(value, found, row, name)
    if name == "attributes" and isinstance(found, list) and any(isinstance(item, dict) for item in found):
        return found  # names with their values, for pairs_of
    if isinstance(found, list):
        found = _shortened(value, _plain_parts(found, row), row, name)
    if value.joined is not None and isinstance(found, list):
        found = value.joined.join(found) or None
    if value.lower:
        return [part.lower() for part in found] if isinstance(found, list) else (text_of(found) or "").lower()
    return found


def _origin(value: Value, row: RowCells, name: str) -> Any:
    if value.constant is not None:
        return value.constant
    if value.column is not None:
        return _plain(_at(row.cells, value.column), row.nulls)
    if value.columns is not None:
        return [value_of(inner, row, name) for inner in value.columns]
    if value.first_of is not None:
        return next(
            (found for inner in value.first_of if (found := value_of(inner, row, name)) not in (None, [])), None
        )
    return _from_template(value.template or "", row)


def _from_template(template: str, row: RowCells) -> str | None:
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        part = text_of(_plain(_at(row.cells, name), row.nulls)) if name else ""
        if part is None:
            return None
        parts.append(literal + part)
    return "".join(parts)


def _structure(value: Value, found: Any, row: RowCells, name: str) -> Any:
    """Return what stands in a text: a list, a map, or the one of several values that counts."""
    if isinstance(found, str) and value.parse:
        found = parsed(found, value.parse)
        if found is None:
            row.notes[f"unparsed_{name}"] += 1
    if isinstance(found, str) and value.pairs:
        found = named_parts(found, value.pairs)
        row.notes[f"unparsed_{name}"] += not found
    if value.each is not None and isinstance(found, list):
        found = [_at(item, value.each) if isinstance(item, dict) else item for item in found]
    if isinstance(found, str) and value.strip:
        found = found.strip(value.strip + " \t\r\n")
    if isinstance(found, str) and value.between is not None:
        return _taken(value, parts_of(found, value.between))
    return parts_of(found, value.split) if isinstance(found, str) and value.split is not None else found


def _taken(value: Value, choices: list[str]) -> Any:
    """Return the one of several values that counts, as a list where it is to be split."""
    if not choices:
        return None
    split = [parts_of(choice, value.split) if value.split else [choice] for choice in choices]
    # of equally deep ones the first
    chosen = max(split, key=len) if value.take == "deepest" else split[0 if value.take == "first" else -1]
    return chosen if value.split else chosen[0]


def _at(cells: dict[str, Any], name: str) -> Any:
    if name in cells or "." not in name:
        return cells.get(name)
    first, rest = name.split(".", 1)
    inner = cells.get(first)
    return _at(inner, rest) if isinstance(inner, dict) else None


def _plain(value: Any, nulls: frozenset[str]) -> Any:
    """Return the value, or None for a declared null."""
    if isinstance(value, str):
        text = value.strip()
        return None if text in nulls else text
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def is_empty(cells: dict[str, Any], name: str, nulls: frozenset[str]) -> bool:
    """Return whether a column is missing or holds what stands for nothing."""
    return _plain(cells.get(name), nulls) in (None, "")


def _plain_parts(found: list[Any], row: RowCells) -> list[Any]:
    flat = [part for item in found for part in (item if isinstance(item, list) else [item])]
    return [part for part in (_plain(item, row.nulls) for item in flat) if part is not None]


def _name_of(category: dict[str, Any]) -> str:
    """Return the name of a category that is an object."""
    name = category.get("name")
    if not isinstance(name, str):
        raise BadCellError("bad_category", f"an object without a name (the setting is each): {category}"[:200])
    return name


def _shortened(value: Value, parts: list[Any], row: RowCells, name: str) -> list[str]:
    if name == "category":
        parts = [_name_of(part) if isinstance(part, dict) else part for part in parts]
    texts = [text for text in (text_of(part) for part in parts) if text]
    texts = texts[value.drop_first : len(texts) - value.drop_last]
    if value.drop_last_like:
        words = (text_of(_at(row.cells, value.drop_last_like)) or "").split()
        while words and len(texts) > 1 and texts[-1].lower().split()[:1] == [words[0].lower()]:
            texts = texts[:-1]
    return texts


def text_of(value: Any) -> str | None:
    """Return a value as the text of the dump contract: whole floats without a fraction, structures as JSON.

    Raises:
        BadCellError: bytes that are not UTF-8.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadCellError("undecodable_text", f"bytes that are not UTF-8: {value[:40]!r}") from error
    if isinstance(value, Decimal):
        return format(value, "f")
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)


def flag_of(value: Any) -> bool | None:
    """Return true or false for the usual words and numbers, None for anything else."""
    return FLAGS.get((text_of(value) or "").strip().lower().removesuffix(".0"))


def flag_in(value: Any, name: str) -> bool | None:
    """Return the flag of a field, None where nothing is given.

    Raises:
        BadCellError: it is neither a word nor a number of a flag: an age restriction must not silently become unknown.
    """
    flag, text = flag_of(value), text_of(value)
    if flag is None and text and text.strip():
        raise BadCellError(f"bad_{name}", text[:200])
    return flag


def plain_text(value: Any, name: str) -> str | None:
    """Return the text of a field.

    Raises:
        BadCellError: it is a list, an object or a flag, or a float that is not exact any more.
    """
    if isinstance(value, bool | list | dict) or (isinstance(value, float) and abs(value) >= EXACT):
        raise BadCellError(f"bad_{name}", f"{type(value).__name__}, not text: {value}"[:200])
    return text_of(value)


def moment_of(text: str | None, declared: Time | None = None) -> str | None:
    """Return a time as ISO 8601 in UTC (without a zone it is taken as UTC); other text is left to ingest."""
    if text is None:
        return None
    try:
        moment = _moment(text, declared)
        zone = ZoneInfo(declared.zone) if declared else UTC
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):  # not a time, or one whose offset leaves the years 1 to 9999
        return text


def _moment(text: str, declared: Time | None) -> datetime:
    if declared is not None and declared.format in _EPOCH_UNITS:
        return _EPOCH + timedelta(seconds=float(text) / _EPOCH_UNITS[declared.format])
    if declared is not None:
        return datetime.strptime(text, declared.format)
    joined = re.sub(r"\s{1,9}(?:UTC|GMT)$", "Z", re.sub(r"\s{1,9}(?=[+-]\d\d:?\d\d$)", "", text))
    return datetime.fromisoformat(joined)


def attributes_of(declared: Attributes, row: RowCells) -> list[tuple[str, str]] | None:
    """Return name and value of the attributes of a row, by name; None where there are none."""
    found = {name: text_of(value_of(value, row, name)) for name, value in declared.columns.items()}
    given: dict[str, str | None] = {}
    pairs = [pair for named in declared.named for pair in _named(named, row)]
    if declared.map is not None:
        pairs += pairs_of(value_of(declared.map, row, "attributes"))
    for name, item in pairs:
        given.setdefault(" ".join(name.split()).lower(), text_of(_plain(item, row.nulls)))
    keep = {name: name for name in given} if declared.keep is None else declared.keep
    for name, target in keep.items():
        if found.get(target) is None:
            found[target] = given.get(name.lower())
    kept = [(name, text.lower() if declared.lower else text) for name, text in sorted(found.items()) if name and text]
    return kept or None


def _named(declared: NamedValue, row: RowCells) -> list[tuple[str, Any]]:
    found, number = [], 1
    while (column := declared.name.replace("{n}", str(number))) in row.cells:
        name = text_of(_plain(row.cells[column], row.nulls))
        if name:
            found.append((name, row.cells.get(declared.value.replace("{n}", str(number)))))
        if column == declared.name:
            break
        number += 1
    return found
