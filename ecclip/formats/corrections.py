"""Labels as people say they are: one append-only file, whose labels have precedence over the dump's.

The first line of ``corrections.jsonl`` names the schema; every other one is a list of the labels that were given at
once. A line is there whole or not at all: one that a kill has cut off has no end, is passed over by readers and cut
away by the next writer. Nothing is ever changed; of two labels of one listing the later one counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from ecclip.atomic import fsync_path
from ecclip.errors import ContractError, IntegrityError
from ecclip.formats.documents import SCHEMA as SCHEMA_FIELD

__all__ = [
    "FIELDS",
    "Correction",
    "Label",
    "append_corrections",
    "in_effect",
    "read_corrections",
]

SCHEMA = "ecclip.corrections/1"
FIELDS = ("category", "attributes", "age_restricted", "brand")  # of a dump: those that hold labels
Label = list[str] | str | bool | None  # a path, a text, a flag; None: not present
_FILE = "corrections.jsonl"
_LONGEST_TEXT = 4000  # characters: as long as the value of an attribute may be in a dump
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and halves of a pair
_KINDS = {"category": "a path of names, root to leaf", "age_restricted": "true or false"}


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One label of one listing, as a person says it is.

    Attributes:
        listing_id: of the dump.
        field: the field of the dump that holds the label: one of :data:`FIELDS`.
        name: of an attribute; empty for the other fields.
        old: the label that the person saw.
        new: the label as it is; where it is ``old``, the person has confirmed it. Of a category a path, root to leaf;
            of an attribute or a brand None where it is not present.
        author: who says so.
        at: when, ISO 8601 in UTC.
        night: whose snapshot was looked at.

    Raises:
        ContractError: a label that no snapshot could hold, or a text that is none; names it.
    """

    listing_id: str
    field: str
    name: str = ""
    old: Label
    new: Label
    author: str
    at: str
    night: str

    def __post_init__(self) -> None:
        if self.field not in FIELDS or bool(self.name) != (self.field == "attributes"):
            limit = f"{', '.join(FIELDS)}; attributes with a name"
            self._refuse("this field holds no label", f"{self.field!r} {self.name!r}", limit)
        if not _is_label(self.new, self.field):
            self._refuse(f"{self.field} cannot be this", repr(self.new)[:80], _KINDS.get(self.field, "a text, or null"))
        for what in ("listing_id", "author", "at", "night"):
            if not _is_text(getattr(self, what)):
                self._refuse(f"the {what} of a correction is no text", repr(getattr(self, what))[:80], None)

    @property
    def target(self) -> tuple[str, str, str]:
        """What it is about: listing, field and name."""
        return self.listing_id, self.field, self.name

    def _refuse(self, what: str, value: object, limit: object) -> None:
        raise ContractError(what, value=value, limit=limit, next_step="docs/how-to/review.md says what a label may be")


def append_corrections(folder: Path, corrections: Sequence[Correction]) -> None:
    """Add corrections: after a kill all of them are there or none. Several writers wait for each other.

    Raises:
        ContractError: the file has a schema that this code does not know.
    """
    if not corrections:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _FILE).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _cut_torn_line(file)
        if file.seek(0, os.SEEK_END) == 0:
            file.write(_line({SCHEMA_FIELD: SCHEMA}))
        else:
            file.seek(0)
            _check_schema(folder / _FILE, file.readline())
        file.write(_line([asdict(one) for one in corrections]))
        file.flush()
        os.fsync(file.fileno())
    fsync_path(folder)


def read_corrections(folder: Path) -> list[Correction]:
    """Return all corrections, the earliest first; none where nobody has corrected anything.

    Raises:
        ContractError: the file has a schema that this code does not know.
        IntegrityError: a line cannot be read; names file and line.
    """
    path = folder / _FILE
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line feed was never finished
    if lines:
        _check_schema(path, lines[0])
    return [one for number, line in enumerate(lines[1:], 2) for one in _read_line(path, number, line)]


def in_effect(corrections: Iterable[Correction]) -> dict[tuple[str, str, str], Correction]:
    """Return for each listing, field and name the latest correction."""
    return {one.target: one for one in corrections}


def _read_line(path: Path, number: int, line: bytes) -> list[Correction]:
    known = {one.name for one in fields(Correction)}
    try:
        given: list[dict[str, Any]] = json.loads(line)
        return [Correction(**{name: one[name] for name in known}) for one in given]
    except (ValueError, TypeError, KeyError, ContractError) as error:
        raise IntegrityError(
            "a line of the corrections cannot be read",
            value=f"{path}:{number}: {type(error).__name__}: {error}",
            next_step="correct or remove that line; ecclip review writes them",
        ) from error


def _check_schema(path: Path, line: bytes) -> None:
    try:
        found = json.loads(line)[SCHEMA_FIELD]
    except (ValueError, TypeError, KeyError):
        found = "no schema"
    if found != SCHEMA:
        raise ContractError(
            f"this version of ecclip cannot read the schema of {path}, line 1",
            value=found,
            limit=SCHEMA,
            next_step="restore its first line, or use the version of ecclip that wrote it",
        )


def _line(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=True, sort_keys=True).encode() + b"\n"  # no line feed but the last


def _cut_torn_line(file: IO[bytes]) -> None:
    """Cut away what a killed writer has left behind the last line feed."""
    if file.seek(0, os.SEEK_END) == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read() != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _is_label(value: object, field: str) -> bool:
    if field == "category":
        return isinstance(value, list) and bool(value) and all(map(_is_text, value))
    if field == "age_restricted":
        return isinstance(value, bool)
    return value is None or _is_text(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and not _UNWRITABLE.search(value)
