"""The dialect of a text file of rows: as declared, else as its beginning shows."""

from __future__ import annotations

import codecs
import io
import json
import re
from typing import IO, Literal, NamedTuple

from charset_normalizer import from_bytes

from ecclip.catalog.dump.csv_records import csv_records, separator_of
from ecclip.catalog.dump.json_document import list_of_rows
from ecclip.catalog.dump.lines import text_lines
from ecclip.catalog.dump.packed import refuse_packed
from ecclip.core import ContractError

Format = Literal["csv", "json", "parquet"]
SAMPLE_BYTES = 1 << 20  # what a dialect is detected from; by judgment
_FIRST_LINES, _FIRST_BYTES = 100, 1 << 16  # what an array and a delimiter are recognised by; by judgment
_DELIMITERS = ",;\t|"
_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# encodings whose byte order only a byte order mark shows
_ORDERED = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_JSON_RETURN = re.compile(rb"\}\r+\{")
_MARKUP = re.compile(rb"\s*<(?:!doctype|\?xml|html)\b", re.IGNORECASE)
# in order of preference: RFC 4180, Spark and Hadoop, no quoting
_QUOTING = (('"', ""), ('"', "\\"), ("", ""))


class Dialect(NamedTuple):
    """How a file is written; None: to be detected. ``quote`` and ``escape`` may be "" for none."""

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    array: bool | None = None  # JSON: one array instead of lines
    rows: str | None = None  # JSON: one object, of which the list of this name holds the rows


class ResolvedDialect(NamedTuple):
    """A dialect with nothing left to detect."""

    encoding: str
    delimiter: str
    quote: str
    escape: str
    array: bool
    trust_quotes: bool
    rows: str = ""


def read_sample(stream: IO[bytes]) -> bytes:
    """Return the beginning of a stream, which may have to be reopened afterwards."""
    parts, size = [], 0
    while size < SAMPLE_BYTES and (part := stream.read(SAMPLE_BYTES - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def detect(sample: bytes, kind: Format, declared: Dialect | None = None) -> ResolvedDialect:
    """Return the dialect of a file by its beginning; what was declared is taken as it is.

    The encoding is that of the byte order mark, else UTF-8: bytes that are none are refused line by line, and
    ``propose_encoding`` says what they may be. Quoting is the first of RFC 4180, backslash before quotes (Spark) and
    none that leaves the fewest unreadable records.

    Raises:
        ContractError: it is not text in rows, the lines end in carriage returns alone, or an encoding is unknown.
    """
    requested = declared or Dialect()
    refuse_packed(sample)
    _refuse_markup(sample)
    encoding = _encoding(sample, requested.encoding)
    _refuse_wide(sample, encoding)
    rows = _list_of_rows(sample, encoding, requested) if kind == "json" else ""
    array = kind == "json" and (_is_array(sample, encoding) if requested.array is None else requested.array)
    array = array or bool(rows)
    alone = _JSON_RETURN.search(sample) if kind == "json" and not array else kind == "csv" and b"\r" in sample
    if alone and b"\n" not in sample:
        raise ContractError("lines end in carriage returns alone", limit="line feeds", next_step="write the file again")
    if kind == "json":
        if not array:
            _refuse_one_document(sample, encoding)
        return ResolvedDialect(encoding, ",", "", "", array, trust_quotes=False, rows=rows)
    complete = sample[: sample.rfind(b"\n") + 1] if len(sample) >= SAMPLE_BYTES else sample
    delimiter = requested.delimiter or _delimiter(complete, encoding)
    quote, escape = _quoting(complete, encoding, delimiter, requested)
    return ResolvedDialect(encoding, delimiter, quote, escape, array=False, trust_quotes=requested.quote is not None)


def propose_encoding(sample: bytes) -> str | None:
    """Return the encoding that bytes which are not UTF-8 most likely have, None where nothing fits."""
    found = from_bytes(sample[: 1 << 17]).best()
    return None if found is None else found.encoding


def _encoding(sample: bytes, declared: str | None) -> str:
    mark = next((name for start, name in _MARKS if sample.startswith(start)), None)
    if declared is None:
        return mark or "utf-8"
    try:
        name = codecs.lookup(declared).name
    except LookupError as error:
        raise ContractError("no such encoding", value=declared, next_step="utf-8, cp1252, cp949 ...") from error
    return mark if mark and mark.startswith(name) else _ORDERED.get(name, name)


def _refuse_markup(sample: bytes) -> None:
    if _MARKUP.match(sample):
        raise ContractError(
            "the file is HTML or XML: perhaps the error page of a server",
            value=repr(sample[:24]),
            limit="rows of text",
            next_step="export it as CSV or JSON lines",
        )


def _refuse_wide(sample: bytes, encoding: str) -> None:
    """Raise where text is UTF-16 without a byte order mark: as UTF-8 it is full of NUL characters."""
    start = sample[:4096]
    if encoding == "utf-8" and start.count(0) * 4 > len(start):
        likely = "utf-16-be" if start[0] == 0 else "utf-16-le"
        raise ContractError(
            "every other byte is NUL, as in UTF-16 without a byte order mark",
            value=repr(start[:24]),
            limit=encoding,
            next_step=f"write the file as UTF-8, or say its encoding: {likely}",
        )


def _list_of_rows(sample: bytes, encoding: str, requested: Dialect) -> str:
    """Return the list of one JSON object that holds the rows; empty: the file is written otherwise."""
    if requested.array is not None or requested.rows is not None:
        return requested.rows or ""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample).lstrip(" \t\r\n\ufeff")
    return list_of_rows(text) or ""


def _refuse_one_document(sample: bytes, encoding: str) -> None:
    """Raise where JSON objects span several lines: each line would be an unreadable row."""
    lines = codecs.getincrementaldecoder(encoding)("replace").decode(sample).lstrip(" \t\r\n\ufeff").split("\n", 2)
    if len(lines) > 1 and lines[0].strip() == "{":
        raise ContractError(
            "JSON objects are written over several lines",
            value=f"{{ {lines[1].strip()[:60]}",
            limit="one object per line, one array of objects, or one object with one list of objects",
            next_step="write the objects as lines: jq -c .",
        )


def _delimiter(sample: bytes, encoding: str) -> str:
    lines = text_lines(io.BytesIO(sample), encoding)
    first = next(lines, None)
    header = first.text if first else ""
    declared = separator_of(header)
    if declared is not None:
        return declared
    signs = [sign for sign in _DELIMITERS if sign in header]
    if len(signs) < 2:
        return signs[0] if signs else ","
    # characters in column names are not delimiters: the rows fit only one of them
    beginning = sample[: sample.find(b"\n", _FIRST_BYTES) + 1 or len(sample)]
    return min(signs, key=lambda sign: (_problems(beginning, encoding, sign, '"', ""), -header.count(sign)))


def _quoting(sample: bytes, encoding: str, delimiter: str, requested: Dialect) -> tuple[str, str]:
    choices = list(_QUOTING) if requested.quote is None else [(requested.quote, escape) for escape in ("", "\\")]
    if requested.escape is not None:
        choices = list(dict.fromkeys((quote, requested.escape if quote else "") for quote, _ in choices))
    if len(choices) == 1 or b'"' not in sample.replace((requested.quote or '"').encode(), b'"'):
        return choices[0]
    return min(choices, key=lambda choice: _problems(sample, encoding, delimiter, *choice))


def _problems(sample: bytes, encoding: str, delimiter: str, quote: str, escape: str) -> int:
    lines = text_lines(io.BytesIO(sample), encoding)
    try:
        return sum(row.cells is None for row in csv_records(lines, delimiter, quote, escape))
    except ContractError:  # an error in the header is reported when the file is read
        return len(sample)


def _is_array(sample: bytes, encoding: str) -> bool:
    """Return whether JSON is one array; a hostile first line must not turn JSON lines into one."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample).lstrip(" \t\r\n\ufeff")
    if not text.startswith("[") or text[1:].lstrip()[:1] not in ("{", "]", ""):
        return False
    lines = [line for line in (line.strip() for line in text.split("\n")[:_FIRST_LINES]) if line][:3]
    if len(lines) < 2 or not _is_object(lines[1]):
        return True
    return lines[0] == "[" and len(lines) > 2 and lines[2][0] in "],"


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
