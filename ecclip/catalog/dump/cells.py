"""Parse each cell of a row once, by the kind of its field: its value, or the reason why it has none."""

from __future__ import annotations

import datetime as dt
import html
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from ecclip.catalog.dump.contract import DUMP_FIELDS, Field, Kind
from ecclip.catalog.dump.money import currency_code
from ecclip.catalog.dump.record import has_half_pair, shown
from ecclip.product_input import clean_text

_NAME_CHARACTERS = 200  # of a name (an attribute, a level of a category); by judgment
_DETAIL_CHARACTERS = 200  # of an explanation in the quarantine; by judgment
EXACT = 2**53  # beyond this a float no longer represents every integer (IEEE 754 binary64)
_YEARS = range(1900, 2200)  # excludes the years that databases write for "no date" (1, 9999); by judgment
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:[T ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r" ?(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
# a long number as a spreadsheet rounds it: other products then have the same text
_ROUNDED = re.compile(r"[0-9][.,][0-9]+E\+[0-9]{2}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_IDENTITIES = ("listing_id", "seller_id", "catalog_id")
_BETWEEN_NAMES = re.compile(r"[-=–]*>+")
_AFTER_PATH = re.compile(r"\s*[,;|]\s*")
_YES = ["true", "t", "yes", "y", "1", "on", "ja", "j", "wahr", "oui", "vrai", "sí", "si", "sim", "tak", "да"]
_NO = ["false", "f", "no", "n", "0", "off", "nein", "falsch", "non", "faux", "nee", "nej", "não", "nie", "нет"]
FLAGS = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)
# the fields in whose order a row with several bad cells gets its reason
_FIRST = ("price", "updated_at", "deleted", "age_restricted", "attributes", "category")


class Limits(NamedTuple):
    """Limits above which a row is refused as a mistake of its seller."""

    title_characters: int
    category_depth: int
    attributes: int


class ParsedCells(NamedTuple):
    """The values of a row by field, None where there is none; ``reason`` and ``detail`` of a bad row."""

    values: dict[str, Any]
    reason: str | None
    detail: str | None


class BadCell(ValueError):
    """The cell does not hold a value of its kind."""


def parse_cells(cells: dict[str, Any], limits: Limits) -> ParsedCells:
    """Return the values of a row, and the first reason for which it cannot be used.

    Text is stripped of white space around it, empty text counts as missing, and so does NaN in a field that is not a
    number: pandas writes it for missing values.
    """
    values: dict[str, Any] = {}
    bad: dict[str, str] = {}
    for field in DUMP_FIELDS:
        try:
            values[field.name] = _value(field, cells.get(field.name), limits)
        except BadCell as error:
            values[field.name] = None
            bad[field.name] = shown(str(error))[:_DETAIL_CHARACTERS]
    if values["listing_id"] is None and "listing_id" not in bad:
        return ParsedCells(values, "missing_listing_id", "listing_id is null or empty")
    for name in [*_FIRST, *bad]:
        if name in bad:
            return ParsedCells(values, f"bad_{name}", bad[name])
    if values["title"] is None and not values["deleted"]:
        return ParsedCells(values, "missing_title", "title is null or empty")
    return ParsedCells(values, None, None)


def _value(field: Field, cell: Any, limits: Limits) -> Any:
    if cell is None or (field.kind != "number" and isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bytes) and field.kind != "bytes":
        cell = _decoded(cell)
    if isinstance(cell, str):
        cell = cell.strip()
        if not cell:
            return None
        if has_half_pair(cell):
            raise BadCell(cell)
    return _READERS[field.kind](field, cell, limits)


def _decoded(cell: bytes) -> str:
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCell(cell.decode("utf-8", "backslashreplace")) from error


def _text(field: Field, cell: Any, limits: Limits) -> str:
    text = _spelled(cell)
    longest = limits.title_characters if field.name == "title" else field.longest
    if len(text) > longest:
        raise BadCell(f"{len(text)} characters, the limit is {longest}: {text}")
    if field.name == "currency":
        code = currency_code(text)
        if code is None:
            raise BadCell(text)
        return code
    if field.name in _IDENTITIES and _CONTROLS.search(text):
        raise BadCell(f"an identity with control characters: {text!r}")
    if field.name == "listing_id" and _ROUNDED.fullmatch(text):
        raise BadCell(f"a number that a spreadsheet has rounded: {text}")
    return text


def _spelled(cell: Any) -> str:
    """Return text, or a number that was an integer before pandas saw that others are missing."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float | Decimal) and -EXACT < cell < EXACT and cell == int(cell):
        return str(int(cell))
    raise BadCell(str(cell))


def _path(field: Field, cell: Any, limits: Limits) -> list[str] | None:
    names = cell
    if isinstance(cell, str):
        names = _json(cell, list) if cell.startswith("[") else path_names(cell)
    if not isinstance(names, list) or any(isinstance(name, dict | list | bool) for name in names):
        raise BadCell(str(cell))
    spelled = [_spelled(name).strip() for name in names if name is not None]
    if any(len(name) > field.longest or has_half_pair(name) for name in spelled):
        raise BadCell(" > ".join(spelled))
    path = [clean for clean in map(clean_name, spelled) if clean]
    if holds_several_paths(path):
        raise BadCell(f"several paths in one cell: {' > '.join(path)}")
    if len(path) > limits.category_depth:
        raise BadCell(f"{len(path)} levels, the limit is {limits.category_depth}: {' > '.join(path)}")
    return path or None


def path_names(text: str) -> list[str]:
    """Return the names in a text such as ``Home > Pots``: also where the sign is an entity (``&gt;``) or an arrow."""
    for _ in range(3):  # an entity may be written as an entity
        text = html.unescape(text) if "&" in text else text
    return _BETWEEN_NAMES.split(text)


def holds_several_paths(names: list[str]) -> bool:
    """Return whether a path is really several paths in one cell: ``Clothing > Tees, Clothing > Sale``.

    The sign of that is a repeated root after a comma, a semicolon or a bar; a name may contain a comma.
    """
    begins_again = [_AFTER_PATH.split(name)[-1] for name in names[1:] if _AFTER_PATH.search(name)]
    return any(name.casefold() == names[0].casefold() for name in begins_again)


def _map(field: Field, cell: Any, limits: Limits) -> list[tuple[str, str]]:
    """Return clean names with their values; names without a value and later duplicates of a name are dropped and
    counted as unusable.
    """
    pairs = _json(cell, dict) if isinstance(cell, str) else cell
    if not isinstance(pairs, dict):
        raise BadCell(str(cell))
    given = [(str(name), _plain(value)) for name, value in pairs.items() if value is not None]
    if len(given) > limits.attributes:
        raise BadCell(f"{len(given)} attributes, the limit is {limits.attributes}")
    found: dict[str, str] = {}
    for name, value in given:
        if len(name) > _NAME_CHARACTERS or len(value) > field.longest or has_half_pair(name + value):
            raise BadCell(f"{name}: {value}")
        clean, held = clean_name(name), clean_name(value)
        if clean and held:
            found.setdefault(clean, held)
    return list(found.items())


def _plain(value: Any) -> str:
    """Return an attribute's value as text: a list, an object and a flag as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return _decoded(value)
    return json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))


@lru_cache(1 << 16)
def clean_name(name: str) -> str | None:
    """Return a name of a category or an attribute, or the value of one, as clean as a title."""
    return clean_text(name)


def _json(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCell(text) from error
    if not isinstance(value, kind):
        raise BadCell(text)
    return value


def _number(_field: Field, cell: Any, _limits: Limits) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | str | Decimal):
        raise BadCell(str(cell))
    if isinstance(cell, str) and not _NUMBER.fullmatch(cell):
        raise BadCell(cell)
    try:
        number = float(cell)
    except OverflowError as error:
        raise BadCell(str(cell)) from error
    if not 0 <= number < math.inf:
        raise BadCell(str(cell))
    return number


def _flag(_field: Field, cell: Any, _limits: Limits) -> bool:
    if isinstance(cell, bool):
        return cell
    word = str(int(cell)) if isinstance(cell, int | float) and cell in (0, 1) else str(cell).lower().removesuffix(".0")
    if word not in FLAGS:
        raise BadCell(str(cell))
    return FLAGS[word]


def _time(_field: Field, cell: Any, _limits: Limits) -> dt.datetime:
    """Return a moment in UTC; one without a zone is taken for UTC, a day for its first moment."""
    try:
        moment = _moment(cell).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise BadCell(str(cell)) from error
    if moment.year not in _YEARS:
        raise BadCell(f"{cell}: a year outside {_YEARS.start} to {_YEARS.stop - 1}")
    return moment


def _moment(cell: Any) -> dt.datetime:
    if isinstance(cell, dt.datetime):
        return cell if cell.tzinfo else cell.replace(tzinfo=dt.UTC)
    if isinstance(cell, dt.date):
        return dt.datetime(cell.year, cell.month, cell.day, tzinfo=dt.UTC)
    found = _TIME.fullmatch(cell) if isinstance(cell, str) else None
    if found is None:
        raise ValueError(cell)
    *parts, fraction, zone = found.groups()
    numbers = [int(part or 0) for part in parts]
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    return dt.datetime(*numbers, microsecond, tzinfo=_zone(zone))  # type: ignore[arg-type, misc]


def _zone(text: str | None) -> dt.timezone:
    if text is None or text[0] not in "+-":
        return dt.UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return dt.timezone(-offset if text[0] == "-" else offset)


def _bytes(_field: Field, cell: Any, _limits: Limits) -> bytes:
    if not isinstance(cell, bytes):
        raise BadCell(str(cell))
    return cell


_READERS: dict[Kind, Callable[[Field, Any, Limits], Any]] = {
    "text": _text,
    "path": _path,
    "map": _map,
    "number": _number,
    "flag": _flag,
    "time": _time,
    "bytes": _bytes,
}
