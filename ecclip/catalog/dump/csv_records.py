"""Records of CSV and tab-separated text, each checked against the header; one that does not fit is refused alone."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Self

from ecclip.catalog.dump.lines import Line
from ecclip.catalog.dump.record import (
    MALFORMED,
    RECORD_BYTES,
    SHOWN_CHARACTERS,
    TOO_FEW,
    TOO_LARGE,
    TOO_MANY,
    UNDECODABLE,
    Row,
    refused,
    shown,
)
from ecclip.core import ContractError

# a record of fewer columns than this may hold lines that look like records by chance
_TELLING_COLUMNS = 4
# Excel's first line where the delimiter differs from the reader's locale
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_AROUND_NAMES = '\ufeff" \t\r\n'


def csv_records(
    lines: Iterator[Line],
    delimiter: str,
    quote: str,
    escape: str,
    *,
    header: list[str] | None = None,
    trust_quotes: bool = False,
    limit: int = RECORD_BYTES,
) -> Iterator[Row]:
    """Yield the records below the header (None: the first record is it).

    Where a quote is opened and not closed as it should be, the first line alone is refused and the lines after it are
    read again. ``trust_quotes``: the quote was declared, so that lines in quotes are never taken for records.

    Raises:
        ContractError: two columns have one name.
    """
    below = _below_separator_line(lines) if header is None else lines
    reader = _Records(below, delimiter, quote, escape, limit)
    for cells, taken in reader:
        if header is None:
            header = _header(cells, taken) if cells != [] else None  # empty lines before it
        elif cells is None or _looks_like_records(taken, delimiter, len(header), quote, trust_quotes):
            yield reader.refuse_first()
        elif cells and _is_header(cells, header):
            yield refused(
                MALFORMED, taken[0].text, taken[0].number, "a repeated header: several files were concatenated"
            )
        elif cells:
            yield _row(header, cells, taken)


def csv_names(lines: Iterator[Line], delimiter: str, quote: str, escape: str) -> list[str]:
    """Return the names of the columns, the first record; of an empty file none."""
    for cells, taken in _Records(_below_separator_line(lines), delimiter, quote, escape, RECORD_BYTES):
        if cells != []:
            return _header(cells, taken)
    return []


def separator_of(line: str) -> str | None:
    """Return the delimiter that a line such as Excel's ``sep=;`` declares, None for any other line."""
    found = _SEPARATOR_LINE.fullmatch(line)
    return found[1] if found else None


def _below_separator_line(lines: Iterator[Line]) -> Iterator[Line]:
    first = next(lines, None)
    if first is not None and separator_of(first.text) is None:
        yield first
    yield from lines


def _is_header(cells: list[str], header: list[str]) -> bool:
    """Return whether a record repeats the header, as in concatenated files."""
    if len(header) < 2 or cells[0].strip(_AROUND_NAMES) != header[0]:  # the usual row, decided by one cell
        return False
    return [cell.strip(_AROUND_NAMES) for cell in cells] == header


def _header(cells: list[str] | None, taken: list[Line]) -> list[str]:
    if cells is None:
        first = taken[0]
        alone = "\r" in first.text.rstrip("\r\n")
        raise ContractError(
            "the header cannot be read",
            value=shown(first.text)[:200],
            limit=first.detail or ("lines that end in line feeds" if alone else "text, quotes that close"),
            next_step="declare the file's encoding, delimiter and quote, or export it again",
        )
    names = [name.strip() for name in cells]
    refuse_repeated(names)
    return names


def refuse_repeated(names: list[str]) -> None:
    """Raise ContractError when two columns have one name; columns without a name are never read."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1 and name)
    if repeated:
        raise ContractError(
            f"two columns have one name: {', '.join(repeated)}",
            value=", ".join(names),
            next_step="rename or remove one of them: which one is meant is ambiguous",
        )


class _Feed:
    """An iterator whose last items can be put back, so that lines are read again."""

    def __init__(self, following: Callable[[], str]) -> None:
        self._following = following

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        return self._following()


class _Records:
    """Records and the lines that each took; lines of a record that was refused are read again."""

    def __init__(self, lines: Iterator[Line], delimiter: str, quote: str, escape: str, limit: int) -> None:
        self._lines, self._limit = lines, limit
        self._again: deque[Line] = deque()
        self._taken: list[Line] = []
        self._size = 0
        self._problem: str | None = None
        self._escape = escape if quote else ""
        self._quote, self._delimiter = quote, delimiter
        csv.field_size_limit(RECORD_BYTES)  # the default refuses descriptions of more than 128 KiB
        options: dict[str, Any] = {"delimiter": delimiter, "strict": bool(quote)}
        options |= {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
        options |= {"escapechar": escape} if self._escape else {}
        self._reader = csv.reader(_Feed(self._next), **options)

    def __iter__(self) -> Iterator[tuple[list[str] | None, list[Line]]]:
        while True:
            self._taken, self._size, self._problem = [], 0, None
            cells: list[str] | None
            try:
                cells = next(self._reader)
            except StopIteration:
                if not self._taken:
                    return
                cells = None
            except csv.Error as error:
                self._problem, cells = str(error), None
            if any(line.problem for line in self._taken):
                cells = None
            yield cells, self._taken

    def _next(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        self._size += len(line.text)
        if line.problem == TOO_LARGE:
            raise csv.Error("a line of it is too long")
        if self._size > self._limit:
            raise csv.Error("a quote is not closed within the largest record")
        return _spelled(line.text, self._quote, self._escape, self._delimiter, len(self._taken) > 1)

    def refuse_first(self) -> Row:
        """Return the first line of the record as refused; the others are read again, those that are one record not."""
        first = self._taken[0]
        bad = next((line for line in self._taken if line.problem == UNDECODABLE), None)
        whole = self._problem is None and bad is not None
        rest = [] if whole else self._taken[1:]
        self._again.extendleft(reversed(rest))
        if whole and bad is not None:
            return refused(UNDECODABLE, "".join(line.text for line in self._taken), first.number, bad.detail)
        if first.problem:
            return refused(first.problem, first.text, first.number, first.detail)
        detail = self._problem or f"{self._quote} does not enclose cells here"
        return refused(MALFORMED, first.text, first.number, f"{detail} (the setting is quote)")


def _looks_like_records(taken: list[Line], delimiter: str, width: int, quote: str, trust: bool) -> bool:
    """Return whether each line of a record is one by itself: the quote at its start is a plain character then."""
    if len(taken) == 1 or trust or not quote or width < _TELLING_COLUMNS:
        return False
    return all(line.text.count(delimiter) == width - 1 for line in taken)


def _row(header: list[str], cells: list[str], taken: list[Line]) -> Row:
    first = taken[0]
    if len(cells) < len(header):
        text = "".join(line.text for line in taken)
        return refused(TOO_FEW, text, first.number, f"{len(cells)} cells, the header has {len(header)}")
    if any(cells[len(header) :]):
        text = "".join(line.text for line in taken)
        return refused(TOO_MANY, text, first.number, f"{len(cells)} cells, the header has {len(header)}")
    named = {name: cell for name, cell in zip(header, cells, strict=False) if name}
    return Row(named, None, "".join(line.text for line in taken)[:SHOWN_CHARACTERS], first.number)


def _spelled(text: str, quote: str, escape: str, delimiter: str, inside: bool) -> str:
    """Return a line in which the escape stands only where it escapes a quote or itself within quotes.

    That is how Spark and Hadoop write: elsewhere a backslash is a character, which Python's reader does not know.
    """
    if not escape or escape not in text:
        return text
    pieces: list[str] = []
    at, opened = 0, inside
    while at < len(text):
        sign, following = text[at], text[at + 1 : at + 2]
        if sign == escape:
            known = opened and following in (quote, escape) and following != ""
            pieces.append(sign + following if known else escape * 2)
            at += 2 if known else 1
            continue
        if sign == quote and (opened or at == 0 or text[at - 1] == delimiter):
            opened = not opened
        pieces.append(sign)
        at += 1
    return "".join(pieces)
