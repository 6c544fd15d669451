"""How a text file of rows is written: what was declared, and what its beginning shows where nothing was."""

from __future__ import annotations

import codecs
import io
import json
from typing import IO, Literal, NamedTuple

from charset_normalizer import from_bytes

from ecclip.catalog._packed import refuse_packed
from ecclip.catalog._row_csv import csv_records
from ecclip.catalog._row_lines import text_lines
from ecclip.core import ContractError

Format = Literal["csv", "json", "parquet"]
SAMPLE_BYTES = 1 << 20
_DELIMITERS = ",;\t|"
_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# what has no byte order of its own, where no mark tells it
_ORDERED = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
# in the order in which they are believed: RFC 4180, Spark and Hadoop, no quoting at all
_QUOTING = (('"', ""), ('"', "\\"), ("", ""))


class Dialect(NamedTuple):
    """How a file is written; None: to be found out. ``quote`` and ``escape`` may be "": there is none."""

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    array: bool | None = None  # JSON: one array instead of lines


class Known(NamedTuple):
    """A dialect of which nothing is open."""

    encoding: str
    delimiter: str
    quote: str
    escape: str
    array: bool
    trust_quotes: bool


def read_sample(stream: IO[bytes]) -> bytes:
    """Return the beginning of a stream, which may have to be opened anew afterwards."""
    parts, size = [], 0
    while size < SAMPLE_BYTES and (part := stream.read(SAMPLE_BYTES - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def detect(sample: bytes, kind: Format, declared: Dialect | None = None) -> Known:
    """Return the dialect of a file by its beginning; what was declared is taken as it is.

    The encoding is that of the byte order mark, else UTF-8: bytes that are none are refused line by line, and
    ``propose_encoding`` says what they may be. Quoting is the first of RFC 4180, backslash before quotes (Spark) and
    none that leaves the fewest unreadable records.

    Raises:
        ContractError: it is no text, its lines end in carriage returns alone, or an encoding is unknown.
    """
    refuse_packed(sample)
    asked = declared or Dialect()
    encoding = _encoding(sample, asked.encoding)
    if b"\r" in sample and b"\n" not in sample and kind == "csv":
        raise ContractError("lines end in carriage returns alone", limit="line feeds", next_step="write the file again")
    if kind == "json":
        array = _is_array(sample, encoding) if asked.array is None else asked.array
        return Known(encoding, ",", "", "", array, trust_quotes=False)
    complete = sample[: sample.rfind(b"\n") + 1] if len(sample) >= SAMPLE_BYTES else sample
    delimiter = asked.delimiter or _delimiter(complete, encoding)
    quote, escape = _quoting(complete, encoding, delimiter, asked)
    return Known(encoding, delimiter, quote, escape, array=False, trust_quotes=asked.quote is not None)


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


def _delimiter(sample: bytes, encoding: str) -> str:
    first = next(text_lines(io.BytesIO(sample), encoding), None)
    header = first.text if first else ""
    return max(_DELIMITERS, key=header.count)


def _quoting(sample: bytes, encoding: str, delimiter: str, asked: Dialect) -> tuple[str, str]:
    choices = list(_QUOTING) if asked.quote is None else [(asked.quote, escape) for escape in ("", "\\")]
    if asked.escape is not None:
        choices = list(dict.fromkeys((quote, asked.escape if quote else "") for quote, _ in choices))
    if len(choices) == 1 or b'"' not in sample.replace((asked.quote or '"').encode(), b'"'):
        return choices[0]
    return min(choices, key=lambda choice: _problems(sample, encoding, delimiter, *choice))


def _problems(sample: bytes, encoding: str, delimiter: str, quote: str, escape: str) -> int:
    lines = text_lines(io.BytesIO(sample), encoding)
    try:
        return sum(row.cells is None for row in csv_records(lines, delimiter, quote, escape))
    except ContractError:  # of the header, which is judged when the file is read
        return len(sample)


def _is_array(sample: bytes, encoding: str) -> bool:
    """Return whether JSON is one array; a hostile first line of JSON lines must not make it one."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample).lstrip(" \t\r\n\ufeff")
    if not text.startswith("[") or text[1:].lstrip()[:1] not in ("{", "]", ""):
        return False
    lines = [line.strip() for line in text.split("\n", 3)[:3]]
    return not (len(lines) > 1 and _is_object(lines[1]) and (len(lines) < 3 or not lines[2].startswith("]")))


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
