"""Records of JSON lines and of one JSON array: objects, checked one by one in bounded memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Set
from typing import IO, Any

from ecclip.catalog.dump.lines import Line
from ecclip.catalog.dump.record import (
    MALFORMED,
    MAX_NESTING,
    RECORD_BYTES,
    TOO_DEEP,
    TOO_LARGE,
    UNDECODABLE,
    Row,
    has_half_pair,
    refused,
    shown,
)

_BLOCK = 1 << 18  # characters per read; bounds the memory beside one record
_SPACE = " \t\r\n\ufeff"
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_SIGN = re.compile(r'[^"\[\]{},]*+(["\[\]{},])')
_CLOSING = re.compile(r'(?:[^"\\]++|\\.)*+(")', re.DOTALL)
_SHOWN = 4096  # characters of a refused element that are kept


def json_records(lines: Iterator[Line], asked: Set[str] | None = None) -> Iterator[Row]:
    """Yield a row for each line that is not blank."""
    for line in lines:
        if line.problem:
            yield refused(line.problem, line.text, line.number, line.detail)
        elif line.text.strip(_SPACE):
            yield json_row(line.text.strip(_SPACE), line.number, asked)


def json_row(text: str, number: int, asked: Set[str] | None = None) -> Row:
    """Return the row of a JSON object; anything else is refused with what it is.

    Half of a surrogate pair costs the row where it stands in a column of ``asked`` (None: all are); elsewhere the row
    is left with the columns that were asked for.
    """
    if max(text.count("["), text.count("{")) > MAX_NESTING and _depth(text) > MAX_NESTING:
        return refused(TOO_DEEP, text, number, f"lists and objects are nested more than {MAX_NESTING} levels")
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        return refused(MALFORMED, text, number, f"not JSON: {error}"[:200])
    if not isinstance(value, dict):
        return refused(MALFORMED, text, number, f"a JSON {type(value).__name__}, not an object")
    if has_half_pair(text) or (_HALF_PAIR.search(text) and _holds_half_pair(value)):
        value = {} if asked is None else {name: cell for name, cell in value.items() if name in asked}
        if not value or has_half_pair(text) or _holds_half_pair(value):
            return refused(UNDECODABLE, text, number, "half of a surrogate pair (an emoji cut in two)")
    return Row(value, None, shown(text), number)


def _holds_half_pair(value: dict[str, Any]) -> bool:
    return has_half_pair(json.dumps(value, ensure_ascii=False))


def array_records(
    stream: IO[bytes], encoding: str, asked: Set[str] | None = None, *, limit: int = RECORD_BYTES
) -> Iterator[Row]:
    """Yield a row for each element of the JSON array that the stream holds; ``line`` counts elements."""
    return element_rows(Elements(stream, encoding, limit), encoding, asked)


def element_rows(elements: Elements, encoding: str, asked: Set[str] | None) -> Iterator[Row]:
    """Yield the row of each element (see ``json_row``)."""
    for number, (text, problem, detail) in enumerate(elements, 1):
        if problem:
            yield refused(problem, text, number, detail)
        elif has_half_pair(text):
            yield refused(UNDECODABLE, text, number, f"bytes that are not {encoding}")
        else:
            yield json_row(text, number, asked)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} comes twice")
    return found


def _depth(text: str) -> int:
    """Return how deep brackets are nested outside of texts, as far as the text is JSON."""
    depth = deepest = at = 0
    in_text = False
    while found := (_CLOSING if in_text else _SIGN).match(text, at):
        sign, at = found[1], found.end()
        if sign == '"':
            in_text = not in_text
        elif sign != ",":
            depth += 1 if sign in "[{" else -1
            deepest = max(deepest, depth)
    return deepest


class Elements:
    """The elements of an array as text, found by their brackets alone, so that a broken one does not hide the next."""

    def __init__(self, stream: IO[bytes], encoding: str, limit: int) -> None:
        # bytes that are not of the encoding become half pairs, which no good text holds
        self._stream, self._decoder = stream, codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._limit = limit
        self._text, self._ended, self._cut = "", False, False

    def __iter__(self) -> Iterator[tuple[str, str | None, str]]:
        self._skip_space()
        yield from self._array()
        self._skip_space()
        while self._text.startswith("["):  # the pages of an answer one after another
            yield from self._array()
            self._skip_space()
        if self._text:
            yield self._text[: self._limit], MALFORMED, "text behind the end of the array"

    def _array(self) -> Iterator[tuple[str, str | None, str]]:
        self._text = self._text[1:]  # the opening bracket
        while True:
            self._skip_space()
            if self._cut:
                return
            if not self._text:
                yield "", MALFORMED, "the array is not closed: the file is cut off"
                return
            if self._text[0] == "]":
                break
            yield self._element()
        self._text = self._text[1:]

    def _element(self) -> tuple[str, str | None, str]:
        scan, begin = _Scan(), ""
        while (end := scan.end(self._text)) is None:
            if len(self._text) > self._limit:  # what was scanned is not needed any more
                begin = begin or self._text[:_SHOWN]
                self._text, scan.at = self._text[scan.at :], 0
            if not self._more():
                text, self._text, self._cut = begin or self._text, "", True
                return text, MALFORMED, "the array is not closed: the file is cut off, or a quote is missing"
        text, self._text = self._text[:end].strip(_SPACE), self._text[end:]
        if self._text[0] == ",":
            self._text = self._text[1:]
        if begin or len(text) > self._limit:
            return begin or text, TOO_LARGE, f"an element of more than {self._limit} characters"
        return text, None, ""

    def _skip_space(self) -> None:
        self._text = self._text.lstrip(_SPACE)
        while not self._text and self._more():
            self._text = self._text.lstrip(_SPACE)

    def _more(self) -> bool:
        while not self._ended:
            block = self._stream.read(_BLOCK)
            self._ended = not block
            added = self._decoder.decode(block, final=self._ended)
            if added:
                self._text += added
                return True
        return False


class _Scan:
    """Looks for the end of an array's element; text may be added, or what was scanned cut off, between two calls."""

    def __init__(self) -> None:
        self.at, self._depth, self._in_text = 0, 0, False

    def end(self, text: str) -> int | None:
        """Return where the element's comma or the array's bracket stands, None when the text ends before."""
        while found := (_CLOSING if self._in_text else _SIGN).match(text, self.at):
            sign = found[1]
            if self._depth == 0 and sign in ",]" and not self._in_text:
                return found.start(1)
            self.at = found.end()
            if sign == '"':
                self._in_text = not self._in_text
            else:
                self._depth += 1 if sign in "[{" else -(sign in "]}")
        # a backslash at the end may escape what follows
        behind = len(text) - len(text.rstrip("\\"))
        self.at = max(self.at, len(text) - (behind % 2 if self._in_text else 0))
        return None
