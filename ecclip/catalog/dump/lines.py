"""Lines of a binary stream in bounded memory, each decoded separately, so that a bad byte spoils its own line only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

from ecclip.catalog.dump.record import RECORD_BYTES, TOO_LARGE, UNDECODABLE

_BLOCK = 1 << 20  # bytes per read; bounds the memory beside one line
_MARK = "\ufeff"
_SHOWN_BYTES = 4096  # of a line that is too large; what the quarantine keeps


class Line(NamedTuple):
    """A line with its end; where ``problem`` is set the text is for showing only."""

    text: str
    number: int
    problem: str | None = None
    detail: str = ""


def text_lines(
    stream: IO[bytes], encoding: str, *, start: int = 0, end: int | None = None, limit: int = RECORD_BYTES
) -> Iterator[Line]:
    """Yield the lines that begin in the bytes ``start`` to ``end`` (None: to the end of the stream).

    A line longer than ``limit`` bytes is skipped in blocks and yielded as ``record_too_large``; line numbers count
    from ``start``.
    """
    newline = "\n".encode(encoding)
    at = _to_line_start(stream, start)
    number = 0
    while end is None or at < end:
        raw, length = _read_line(stream, newline, limit)
        if not length:
            return
        at += length
        number += 1
        line = _decoded(raw, length, number, encoding, limit)
        yield line._replace(text=line.text.removeprefix(_MARK)) if number == 1 else line


def is_wide(encoding: str) -> bool:
    """Return whether the encoding writes a line's end in more than one byte (UTF-16, UTF-32)."""
    return len("\n".encode(encoding)) > 1


def _to_line_start(stream: IO[bytes], start: int) -> int:
    if start == 0:
        return 0
    stream.seek(start - 1)
    _, length = _read_line(stream, b"\n", 0)
    return start - 1 + length


def _read_line(stream: IO[bytes], newline: bytes, limit: int) -> tuple[bytes, int]:
    """Return the line's first ``limit`` bytes and its whole length."""
    unit = len(newline)
    kept, length, tail = bytearray(), 0, b""
    while True:
        piece = stream.readline(_BLOCK)
        if piece and (length + len(piece)) % unit:
            piece += stream.read(unit - (length + len(piece)) % unit)
        if not piece:
            return bytes(kept), length
        length += len(piece)
        if len(kept) <= limit:
            kept += piece[: limit + 1 - len(kept)]
        tail = (tail + piece)[-unit:]
        if tail == newline:
            return bytes(kept), length


def _decoded(raw: bytes, length: int, number: int, encoding: str, limit: int) -> Line:
    if length > limit:
        text = raw[:_SHOWN_BYTES].decode(encoding, "backslashreplace")
        return Line(text, number, TOO_LARGE, f"a line of {length} bytes, the limit is {limit}")
    try:
        return Line(raw.decode(encoding), number)
    except UnicodeDecodeError as error:
        text = raw.decode(encoding, "backslashreplace")
        return Line(text, number, UNDECODABLE, f"byte {error.start} of the line is not {encoding}")
