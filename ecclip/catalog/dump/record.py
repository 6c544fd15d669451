"""One record of a listing file, whatever its format: its cells, or what is wrong with it and its own text."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

RECORD_BYTES = 4 << 20  # a longer record is most likely an unclosed quote; by judgment
SHOWN_CHARACTERS = 8000  # of a refused record in the quarantine; by judgment
MAX_NESTING = 32  # levels of lists and objects; the contract needs two

MALFORMED = "malformed_record"
UNDECODABLE = "undecodable_text"
TOO_LARGE = "record_too_large"
TOO_MANY = "too_many_cells"
TOO_FEW = "too_few_cells"
TOO_DEEP = "nested_too_deep"
ROW_PROBLEMS = (MALFORMED, UNDECODABLE, TOO_LARGE, TOO_MANY, TOO_FEW, TOO_DEEP)


class Row(NamedTuple):
    """A record: ``cells`` by column, or None and the ``problem`` (reason) with its ``detail``.

    ``text`` is the raw record, shortened to ``SHOWN_CHARACTERS``; empty for a good row of Parquet, which has none.
    ``line`` counts from 1 (CSV, JSON: lines of the text; JSON array and Parquet: records).
    """

    cells: dict[str, Any] | None
    problem: str | None
    text: str
    line: int
    detail: str = ""


def refused(problem: str, text: str, line: int, detail: str) -> Row:
    """Return the row of a record that could not be read."""
    return Row(None, problem, shown(text), line, detail)


def shown(text: str) -> str:
    """Return text as it may be written and shown: shortened, half surrogate pairs as their escapes."""
    short = text[:SHOWN_CHARACTERS]
    return short if short.isascii() else short.encode("utf-8", "backslashreplace").decode("utf-8")


def has_half_pair(text: str) -> bool:
    """Return whether text holds half of a surrogate pair, which no encoding can write."""
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def json_text(cells: dict[str, Any]) -> str:
    """Return the cells of a row as JSON, for the quarantine; what JSON does not know is written as text."""
    named = {name: value for name, value in cells.items() if value is not None}
    return json.dumps(named, ensure_ascii=False, default=str)
