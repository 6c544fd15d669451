"""Tables that are looked up by key while the source is read: on disk, so that photos do not fill memory."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ecclip.catalog.mapping.columns import ColumnNames
from ecclip.catalog.mapping.model import Join, Mapping, Parent, Value
from ecclip.catalog.mapping.tables import Source, column_missing
from ecclip.catalog.mapping.values import BadCellError, RowCells, is_empty, text_of, value_of
from ecclip.core import ConfigError


class _DiskTable:
    """A table in a temporary file."""

    def __init__(self, path: Path, columns: str, marks: str) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False)
        # the file is temporary: no journal, no fsync
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(f"CREATE TABLE kept (key TEXT PRIMARY KEY, {columns})")
        self._insert = f"INSERT OR IGNORE INTO kept VALUES (?, {marks})"

    def add(self, key: str | None, *cells: Any) -> bool:
        """Keep the cells of a key, return False where the key has some already."""
        return self._database.execute(self._insert, (key, *cells)).rowcount > 0

    def put(self, key: str, *cells: Any) -> None:
        """Keep the cells of a key in place of those it has."""
        self._database.execute(self._insert.replace("OR IGNORE", "OR REPLACE"), (key, *cells))

    def find(self, key: str | None) -> tuple[Any, ...] | None:
        """Return the cells of a key."""
        found = self._database.execute("SELECT * FROM kept WHERE key = ?", (key,)).fetchone()
        return None if found is None else tuple(found[1:])

    def close(self) -> None:
        """Remove the file."""
        self._database.close()
        self._path.unlink(missing_ok=True)


class JoinTable:
    """A second table: its columns by key, the first row of a key wins."""

    def __init__(self, source: Source, join: Join, path: Path) -> None:
        self.columns, self._left = join.columns, join.left
        self.name = Path(join.files[0].replace("*", "")).stem
        self.repeated = self.refused = 0
        names = ", ".join(f"c{index}" for index in range(len(self.columns)))
        self._table = _DiskTable(path, names, ", ".join("?" * len(self.columns)))
        try:
            self._fill(source, join)
        except BaseException:
            self.close()
            raise

    def _fill(self, source: Source, join: Join) -> None:
        wanted = {join.right, *join.columns}
        first = True
        for row, _ in source.rows(join, ColumnNames(wanted, join.aliases), wanted):
            if row.cells is None:
                self.refused += 1
                continue
            missing = [name for name in (join.right, *join.columns) if name not in row.cells] if first else []
            if missing:
                raise column_missing(
                    "the joined table has no such column",
                    missing[0],
                    sorted(row.cells),
                    "name one of these in the join",
                )
            first = False
            self._add(row.cells, join.right)

    def _add(self, cells: dict[str, Any], key: str) -> None:
        try:
            kept = [cell if isinstance(cell, bytes) else text_of(cell) for cell in map(cells.get, self.columns)]
            self.repeated += not self._table.add(text_of(cells.get(key)), *kept)
        except BadCellError:
            self.refused += 1

    def lookup(self, cells: dict[str, Any]) -> dict[str, Any]:
        """Return the joined columns of a row, empty when its key is not there."""
        if self._left not in cells:
            raise ConfigError(
                "the join names a column that the source does not have",
                value=self._left,
                next_step="correct the join's left in the mapping: it names a column of the source",
            )
        try:
            found = self._table.find(text_of(cells[self._left]))
        except BadCellError:  # a key of bytes that are not text matches nothing
            return {}
        return {} if found is None else dict(zip(self.columns, found, strict=True))

    def close(self) -> None:
        """Remove the file."""
        self._table.close()


class ParentTable:
    """What rows below a parent row inherit from it, by the parent's names."""

    def __init__(self, mapping: Mapping, declared: Parent, rows: Iterable[dict[str, Any] | None], path: Path) -> None:
        self._declared, self._nulls = declared, frozenset(mapping.null_values)
        self._table = _DiskTable(path, "place INTEGER, cells TEXT", "?, ?")
        try:
            for place, cells in enumerate(rows):
                if cells is not None:
                    self._take(place, cells)
        except BaseException:
            self.close()
            raise

    def _take(self, place: int, cells: dict[str, Any]) -> None:
        key, names = self._text(self._declared.key, cells), self._names(cells)
        if key is None or key in names:
            filled = {name: cells[name] for name in self._declared.fill if not self._empty(cells, name)}
            plain = {name: cell for name, cell in filled.items() if not isinstance(cell, bytes)}
            for name in names:
                self._keep(name, place, plain)

    def _keep(self, name: str, place: int, cells: dict[str, Any]) -> None:
        found = self._table.find(name)
        known = {} if found is None else json.loads(found[1])
        if found is None or cells.keys() - known.keys():  # the first row that has a cell gives it
            first = place if found is None else found[0]
            self._table.put(name, first, json.dumps({**cells, **known}, default=str))

    def complete(self, place: int, cells: dict[str, Any], notes: Counter[str]) -> dict[str, Any] | None:
        """Return the row with what it inherits from its parent; None where it has no values of its own: a row that only
        adds a photo.

        ``notes`` counts rows whose parent is not there.
        """
        key = self._text(self._declared.key, cells)
        if key is None:
            return cells
        found = self._table.find(key)
        if found is None:
            notes["without_parent"] += 1
            return cells
        nothing = self._declared.own and all(self._empty(cells, name) for name in self._declared.own)
        if nothing and found[0] != place:
            return None
        taken = json.loads(found[1])
        return {**cells, **{name: cell for name, cell in taken.items() if self._empty(cells, name)}}

    def _names(self, cells: dict[str, Any]) -> list[str]:
        return [name for name in (self._text(value, cells) for value in self._declared.names) if name is not None]

    def _text(self, value: Value, cells: dict[str, Any]) -> str | None:
        try:
            return text_of(value_of(value, RowCells(cells, self._nulls, Counter()), "parent")) or None
        except BadCellError:
            return None

    def _empty(self, cells: dict[str, Any], name: str) -> bool:
        return is_empty(cells, name, self._nulls)

    def close(self) -> None:
        """Remove the file."""
        self._table.close()
