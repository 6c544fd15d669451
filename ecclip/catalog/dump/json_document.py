"""Rows in one JSON object, as programs answer: ``{"products": [...], "total": 3}``. Which list they are, and each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Set
from typing import IO

from ecclip.catalog.dump.json_records import Elements, element_rows
from ecclip.catalog.dump.record import MALFORMED, RECORD_BYTES, Row
from ecclip.core import ContractError

# texts, signs, other values; a quote alone begins a text that is cut off
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}:,]|[^\s"\[\]{}:,]++|"', re.DOTALL)


def list_of_rows(text: str) -> str | None:
    """Return the name of the list that holds the rows of a document that begins with ``text``; None: it is none.

    It is the only list of objects. In a document of one line nothing beside it may be a text: that may as well be the
    line of one listing, whose variants are a list.

    Raises:
        ContractError: several lists may be meant.
    """
    first, _, more = text.partition("\n")
    if not first.startswith("{") or (more.strip() and first.rstrip()[-1] not in "{["):
        return None
    found = list(_values(text))
    lists = [name for name, sign, at in found if sign == "[" and text[at + 1 :].lstrip()[:1] == "{"]
    if not more.strip() and any(sign == '"' for _, sign, _ in found):
        return None
    if len(lists) > 1:
        raise ContractError(
            "one JSON object with several lists of objects",
            value=", ".join(lists),
            next_step=f"say which of them holds the rows: rows: {lists[0]}",
        )
    return lists[0] if lists else None


def document_records(
    stream: IO[bytes], encoding: str, name: str, asked: Set[str] | None = None, *, limit: int = RECORD_BYTES
) -> Iterator[Row]:
    """Yield a row for each element of the list ``name`` of the object that the stream holds.

    Raises:
        ContractError: the object has no such list.
    """
    return element_rows(_Document(stream, encoding, limit, name), encoding, asked)


class _Document(Elements):
    """The elements of one list of an object; what else the object holds is read over."""

    def __init__(self, stream: IO[bytes], encoding: str, limit: int, name: str) -> None:
        super().__init__(stream, encoding, limit)
        self._name = name

    def __iter__(self) -> Iterator[tuple[str, str | None, str]]:
        self._skip_space()
        self._text = self._text[self._begin() :]
        yield from self._array()
        if self._cut:
            return
        self._text = "{" + self._text  # what follows is read like an object of its own
        while (end := next((at for name, sign, at in _values(self._text) if sign == "}"), None)) is None:
            if len(self._text) > self._limit or not self._more():
                yield "", MALFORMED, f"the object around the list {self._name} is not closed: the file is cut off"
                return
        self._text = self._text[end:]
        self._skip_space()
        if self._text:
            yield self._text[: self._limit], MALFORMED, "text behind the end of the object"

    def _begin(self) -> int:
        while True:
            for name, sign, at in _values(self._text):
                if sign == "[" and name == self._name:
                    return at
            if len(self._text) > self._limit or not self._more():
                raise ContractError(
                    "the JSON object has no list of this name",
                    value=self._name,
                    limit=", ".join(name for name, sign, _ in _values(self._text) if sign == "[") or "it has no list",
                    next_step="say the name of the list that holds the rows: rows",
                )


def _values(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield name, first sign and place of each value of an object, and at last ``}`` with the place behind it."""
    depth, name, is_next = 0, "", False
    for found in _TOKEN.finditer(text):
        token = found.group()
        if token == '"':
            return
        if depth == 1 and is_next:
            yield name, token[0], found.start()
            is_next = False
        elif depth == 1 and token[0] == '"':
            name = _name(token)
        elif depth == 1 and token == ":":
            is_next = True
        if token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
        if depth == 0:
            yield "", "}", found.end()
            return


def _name(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token
