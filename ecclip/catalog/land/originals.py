"""Listings as the shop sent them: photos by the digest of their bytes, descriptions by listing; read without Spark."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ecclip.catalog.land.photos import IMAGES
from ecclip.core import IntegrityError, sha256_bytes
from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.snapshot import LISTINGS

_ROWS_AT_ONCE = 256  # read at once; bounds the memory
_IMAGE = "image"
_SCHEMA = pa.schema([(IMAGE_SHA256, pa.string()), ("file", pa.int32()), ("group", pa.int32()), ("row", pa.int32())])


class OriginalPhotos:
    """The photos of a night: in the parts that landed, else in the rows that carry a photo themselves.

    Where each lies is looked up once, so that photos can be asked for again and again. A question costs the row
    groups that hold one of its photos: ask for some hundred at once.
    """

    def __init__(self, landed: Path, ingested: Path) -> None:
        self._landed, self._ingested = landed, ingested

    def read(self, digests: Collection[str]) -> dict[str, bytes]:
        """Return photos by their SHA-256; all of them are in memory together.

        Raises:
            IntegrityError: one of them is in neither folder.
        """
        wanted = set(digests)
        found = self._packed.read(wanted)
        if wanted - found.keys():
            found |= self._inside_rows.read(wanted - found.keys())
        missing = sorted(wanted - found.keys())
        if missing:
            raise IntegrityError(
                "a photo of the night is not among those that landed",
                value=f"{missing[0]}, one of {len(missing)}",
                limit=self._landed,
                next_step="run land and the stages after it again for this night",
            )
        return found

    @cached_property
    def _packed(self) -> _Places:
        return _Places(self._landed / IMAGES, IMAGE_SHA256, pa.Array.to_pylist)

    @cached_property
    def _inside_rows(self) -> _Places:
        return _Places(self._ingested / LISTINGS, _IMAGE, _digests)


def original_descriptions(ingested: Path, listing_ids: Collection[str]) -> dict[str, str]:
    """Return the descriptions of listings as they were written; those without one are left out."""
    rows = ds.dataset([str(path) for path in sorted((ingested / LISTINGS).glob("*.parquet"))], format="parquet")
    wanted = ds.field("listing_id").isin(pa.array(sorted(listing_ids), pa.string()))
    found = rows.to_table(columns=["listing_id", "description"], filter=wanted & ds.field("description").is_valid())
    return dict(zip(*(column.to_pylist() for column in found.columns), strict=True))


class _Places:
    """Where the photos of a folder's Parquet files lie: file, row group and row, by digest."""

    def __init__(self, folder: Path, column: str, digests: Callable[[pa.Array], list[str | None]]) -> None:
        self._files = sorted(folder.glob("*.parquet"))
        batches = [
            _places(number, group, first, digests(values))
            for number, path in enumerate(self._files)
            for group, first, values in _column(path, column)
        ]
        self._table = pa.Table.from_batches(batches, _SCHEMA)

    def read(self, wanted: set[str]) -> dict[str, bytes]:
        """Return those of the photos that are here."""
        here = self._table.filter(pc.is_in(self._table[IMAGE_SHA256], value_set=pa.array(sorted(wanted), pa.string())))
        by_group: dict[tuple[int, int], dict[int, str]] = {}
        for place in here.to_pylist():
            by_group.setdefault((place["file"], place["group"]), {})[place["row"]] = place[IMAGE_SHA256]
        return {
            digest: photo
            for (file, group), rows in sorted(by_group.items())
            for digest, photo in _photos(self._files[file], group, rows)
        }


def _places(file: int, group: int, first: int, digests: list[str | None]) -> pa.RecordBatch:
    rows = [first + row for row, digest in enumerate(digests) if digest is not None]
    known = [digest for digest in digests if digest is not None]
    columns = (known, [file] * len(rows), [group] * len(rows), rows)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _photos(path: Path, group: int, rows: dict[int, str]) -> Iterator[tuple[str, bytes]]:
    for _, first, images in _column(path, _IMAGE, [group]):
        for row in sorted(rows.keys() & set(range(first, first + len(images)))):
            yield rows[row], images[row - first].as_py()


def _column(path: Path, name: str, groups: list[int] | None = None) -> Iterator[tuple[int, int, pa.Array]]:
    """Yield row group, number of the first row in it, and the values of a column, some rows at a time."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups) if groups is None else groups:
            first = 0
            for batch in file.iter_batches(_ROWS_AT_ONCE, [group], [name]):
                yield group, first, batch.column(0)
                first += len(batch)


def _digests(images: pa.Array) -> list[str | None]:
    return [None if image is None else sha256_bytes(image) for image in images.to_pylist()]
