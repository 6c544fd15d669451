"""Equal rows, equal bytes: sort the one part of Spark's Parquet files that differs from run to run.

Parquet's Java writer lists the encodings of a column in the order of a hash set of enum constants, which follows their
addresses in that process. The footer is Thrift's compact protocol (parquet.thrift, FileMetaData); the list's elements
are one byte each, so that sorting them in place moves nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"PAR1"
_ENCODINGS = (4, 1, 3, 2)  # FileMetaData.row_groups, RowGroup.columns, ColumnChunk.meta_data, ColumnMetaData.encodings
# types of the compact protocol (Apache Thrift)
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def sort_encodings(path: Path) -> None:
    """Put the encodings of every column of a Parquet file in order, in place.

    Raises:
        ValueError: it is not a Parquet file.
    """
    with path.open("r+b") as file:
        end = file.seek(-8, os.SEEK_END)
        tail = file.read(8)
        if tail[4:] != _MAGIC:
            raise ValueError(f"{path} is not a Parquet file")
        start = end - int.from_bytes(tail[:4], "little")
        file.seek(start)
        footer = bytearray(file.read(end - start))
        for place in _Walk(footer).lists((), _STRUCT):
            footer[place] = bytes(sorted(footer[place]))
        file.seek(start)
        file.write(footer)


class _Walk:
    """Reads a Thrift structure from its first byte to its last."""

    def __init__(self, data: bytearray) -> None:
        self._data, self._at = data, 0

    def lists(self, path: tuple[int, ...], kind: int) -> Iterator[slice]:
        """Read one value and yield where the wanted lists in it are; ``path`` are the fields that lead to it."""
        if kind == _STRUCT:
            yield from self._struct(path)
        elif kind in (_LIST, _SET):
            yield from self._list(path)
        elif kind == _MAP:
            raise ValueError("a footer has no maps")
        elif kind == _BINARY:
            length = self._number()
            self._at += length
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BYTE:
            self._at += 1
        elif kind in (_I16, _I32, _I64):
            self._number()

    def _struct(self, path: tuple[int, ...]) -> Iterator[slice]:
        field = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            field = field + step if step else self._number() >> 1
            yield from self.lists((*path, field), kind)

    def _list(self, path: tuple[int, ...]) -> Iterator[slice]:
        head = self._byte()
        size, kind = head >> 4, head & 15
        size = self._number() if size == 15 else size
        start = self._at
        for _ in range(size):
            if kind in (_TRUE, _FALSE):
                self._at += 1
            else:
                yield from self.lists(path, kind)
        if path == _ENCODINGS and self._at - start == size:
            yield slice(start, self._at)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _number(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
