"""The rows of a foreign source as one stream: read, joined, completed from their parents, skipped rows removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Any

from ecclip.catalog.mapping.columns import ColumnNames
from ecclip.catalog.mapping.listing import SourceRow
from ecclip.catalog.mapping.lookups import JoinTable, ParentTable
from ecclip.catalog.mapping.model import Mapping
from ecclip.catalog.mapping.prices import Numbers
from ecclip.catalog.mapping.tables import Source, column_missing
from ecclip.catalog.mapping.values import text_of

_FIRST_ROWS = 1000  # what an error about columns is decided from; by judgment


class ForeignRows:
    """The rows of a source under one mapping; ``notes`` counts what was left out or not found."""

    def __init__(self, mapping: Mapping, source: Source, folder: Path, opened: ExitStack) -> None:
        self.notes: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.read = 0
        self._mapping, self._source = mapping, source
        joined = {name for join in mapping.join for name in join.columns}
        wanted = mapping.source_columns()
        self._names = ColumnNames(wanted - joined, mapping.source.aliases)
        self._joins = [
            opened.enter_context(closing(JoinTable(source, join, folder / f".join-{number}")))
            for number, join in enumerate(mapping.join)
        ]
        self.notes["duplicate_join_keys"] = sum(join.repeated for join in self._joins)
        self.notes["refused_join_rows"] = sum(join.refused for join in self._joins)
        self._check_columns()
        self._parents: ParentTable | None = None
        if mapping.parent is not None:
            table = ParentTable(mapping, mapping.parent, (row.row.cells for row in self._plain()), folder / ".parents")
            self._parents = opened.enter_context(closing(table))

    def _plain(self, columns: set[str] | None = None) -> Iterator[SourceRow]:
        return self._source.rows(self._mapping.source, self._names, columns)

    def _check_columns(self) -> None:
        """Raise for a field whose column none of the first rows has."""
        names = {name for join in self._joins for name in join.columns}
        values = self._mapping.values().items()
        missing: list[tuple[str, str]] = []
        with closing(self._plain()) as rows:  # type: ignore[type-var]
            for row, _ in islice(rows, _FIRST_ROWS):
                names.update(row.cells or {})
                missing = [(field, column) for field, value in values for column in value.missing(names)]
                if not missing:  # objects of JSON need not all have the same keys
                    return
        if missing and len(names) > sum(len(join.columns) for join in self._joins):
            field, column = missing[0]
            raise column_missing(
                f"the mapping of {field} names a column that the source does not have",
                column,
                sorted(names),
                f"correct {field} in the mapping, or give the column's other name in source.aliases",
            )

    def infer_notation(self, numbers: Numbers) -> None:
        """Read the source once if the notation of a number is ambiguous."""
        wanted = numbers.wanted()
        if not wanted:
            return
        joins = [join for join in self._joins if wanted & set(join.columns)]
        needed = wanted | {join.left for join in self._mapping.join}
        rows = (source.row.cells for source in self._plain(needed) if source.row.cells is not None)
        numbers.infer_notation(self._with_joins(cells, joins, Counter()) for cells in rows)

    def __iter__(self) -> Iterator[SourceRow]:
        for place, source in enumerate(self._plain()):
            self.read += 1
            if source.row.cells is None:
                yield source
                continue
            cells = self._completed(place, source.row.cells)
            if cells is not None:
                yield source._replace(row=source.row._replace(cells=cells))

    def _completed(self, place: int, cells: dict[str, Any]) -> dict[str, Any] | None:
        skipped = self._skipped(cells)
        if skipped:
            self.left_out[f"skipped_{skipped}"] += 1
            return None
        if self._parents is not None:
            found = self._parents.complete(place, cells, self.notes)
            if found is None:
                self.left_out["nothing_of_its_own"] += 1
                return None
            cells = found
        return self._with_joins(cells, self._joins, self.notes)

    def _skipped(self, cells: dict[str, Any]) -> str | None:
        for skip in self._mapping.skip:
            cell = cells.get(skip.column)
            text = cell.strip() if isinstance(cell, str) else None if isinstance(cell, bytes) else text_of(cell)
            if text in (None, *self._mapping.null_values):
                continue
            if skip.values is None or text in skip.values:
                return skip.column
        return None

    @staticmethod
    def _with_joins(cells: dict[str, Any], joins: list[JoinTable], notes: Counter[str]) -> dict[str, Any]:
        for join in joins:
            found = join.lookup(cells)
            notes[f"without_{join.name}"] += not found
            cells = {**cells, **dict.fromkeys(join.columns), **found}
        return cells
