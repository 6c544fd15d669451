"""Landed photos: Parquet parts of bytes and one table that says where each photo lies.

Parts of the night before that are still in use are hard-linked, not copied: a night writes only new photos. Parts that
are less than half full of photos still named are rewritten together when there are too many of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.catalog.land.fetched import Fetched
from ecclip.core import canonical_json, read_manifest
from ecclip.formats.columns import IMAGE_SHA256

INDEX = "photos.parquet"
IMAGES = "images"
_SPARSE_PARTS = 16  # parts that are less than half full before any is rewritten; by judgment
_BATCH_ROWS = 8192  # of the index, read and written at once; bounds the memory
_GROUP_BYTES = 64 << 20  # of a row group, which is held in memory whole; by judgment
_PART = pa.schema([("image_uri", pa.string()), (IMAGE_SHA256, pa.string()), ("image", pa.binary())])
_ENTRY = pa.schema(
    [
        ("image_uri", pa.string()),
        (IMAGE_SHA256, pa.string()),
        ("bytes", pa.int64()),
        ("validator", pa.string()),
        ("part", pa.string()),
        ("error", pa.string()),
    ]
)


def sparse_parts(previous: Path, photos_per_part: int) -> set[str]:
    """Return the parts of the night before that should be rewritten: the emptiest, when there are too many."""
    rows = Counter(entry["part"] for entry in photo_entries(previous) if entry["part"] is not None)
    sparse = sorted((count, part) for part, count in rows.items() if count < photos_per_part / 2)
    return {part for _, part in sparse[: 2 * _SPARSE_PARTS]} if len(sparse) > _SPARSE_PARTS else set()


def photo_entries(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the index rows of a landed night, which say where each photo is, in the order of addresses."""
    if (folder / INDEX).is_file():
        with pq.ParquetFile(folder / INDEX) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                yield from batch.to_pylist()


def photo_facts(landed: Path) -> dict[str, Any]:
    """Return ``digest`` (of the content of each address, not its location) and ``new``, the number of new photos."""
    manifest = read_manifest(landed)
    new = manifest.written["photos"] - manifest.detail["photos_kept"] if manifest is not None else 0
    return {"digest": _digest(landed), "new": new}


def _digest(landed: Path) -> str:
    digest = hashlib.sha256()
    for entry in photo_entries(landed):
        if entry[IMAGE_SHA256] is not None:
            digest.update(canonical_json([entry["image_uri"], entry[IMAGE_SHA256]]).encode())
    return digest.hexdigest()


class LandedPhotos:
    """Writes the photos of a night, which come in the order of their addresses."""

    def __init__(self, folder: Path, previous: Path, *, photos_per_part: int, chunk_photos: int) -> None:
        self._folder, self._previous = folder, previous
        self._per_part, self._per_chunk = photos_per_part, chunk_photos
        self._sparse = sparse_parts(previous, photos_per_part)
        self._old: dict[str, _OldPart] = {}
        self._linked: set[str] = set()
        self._first = max((int(path.stem[5:]) for path in _parts(previous)), default=-1) + 1
        self._written = 0
        self._photos: list[dict[str, Any]] = []
        self._entries: list[dict[str, Any]] = []
        self._part: pq.ParquetWriter | None = None
        (folder / IMAGES).mkdir(parents=True)
        self._index = pq.ParquetWriter(folder / INDEX, _ENTRY)
        self.errors: Counter[str] = Counter()
        self.landed = self.kept = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            for writer in (self._part, self._index):
                if writer is not None:
                    writer.close()

    def add(self, photo: Fetched) -> None:
        """Keep a photo: where the night before has it its part is linked, else its bytes are written."""
        part, size = None, 0
        if photo.error is not None:
            self.errors[photo.error] += 1
        elif photo.known is not None and photo.known.part not in self._sparse:
            part, size = self._link(photo.known.part), photo.known.bytes
        else:
            image = photo.image if photo.image is not None else self._read_previous(photo)
            part, size = self._write(photo, image), len(image)
        self.landed += part is not None
        self.kept += photo.known is not None
        entry = {"image_uri": photo.uri, IMAGE_SHA256: photo.sha256, "bytes": size, "part": part}
        self._entries.append({**entry, "validator": photo.validator, "error": photo.error})
        if len(self._entries) >= _BATCH_ROWS:
            self._flush_entries()

    def _link(self, part: str) -> str:
        if part not in self._linked:
            source, target = self._previous / IMAGES / part, self._folder / IMAGES / part
            try:
                os.link(source, target)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(source, target)
            self._linked.add(part)
        return part

    def _read_previous(self, photo: Fetched) -> bytes:
        if photo.known is None:
            raise ValueError(f"{photo.uri} has neither bytes nor an entry")
        part = photo.known.part
        if part not in self._old:
            self._old[part] = _OldPart(self._previous / IMAGES / part)
        return self._old[part].read(photo.uri)

    def _write(self, photo: Fetched, image: bytes) -> str:
        name = f"part-{self._first + self._written // self._per_part:05d}.parquet"
        if self._written % self._per_part == 0:
            self._flush_photos()
            if self._part is not None:
                self._part.close()
            self._part = pq.ParquetWriter(self._folder / IMAGES / name, _PART, compression="none")
        self._written += 1
        self._photos.append({"image_uri": photo.uri, IMAGE_SHA256: photo.sha256, "image": image})
        if len(self._photos) >= self._per_chunk or sum(len(row["image"]) for row in self._photos) > _GROUP_BYTES:
            self._flush_photos()
        return name

    def _flush(self) -> None:
        self._flush_photos()
        self._flush_entries()

    def _flush_photos(self) -> None:
        if self._photos and self._part is not None:
            self._part.write_batch(pa.RecordBatch.from_pylist(self._photos, schema=_PART))
            self._photos = []

    def _flush_entries(self) -> None:
        if self._entries:
            self._index.write_batch(pa.RecordBatch.from_pylist(self._entries, schema=_ENTRY))
            self._entries = []


class _OldPart:
    """A part of the night before, read once from its start: photos are taken in the order of their addresses."""

    def __init__(self, path: Path) -> None:
        self._rows = self._read(path)

    def read(self, uri: str) -> bytes:
        for found, image in self._rows:
            if found == uri:
                return image
        raise ValueError(f"{uri} is not in its part")

    @staticmethod
    def _read(path: Path) -> Iterator[tuple[str, bytes]]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(64, columns=["image_uri", "image"]):
                for uri, image in zip(batch.column("image_uri"), batch.column("image"), strict=True):
                    yield uri.as_py(), image.as_py()


def _parts(folder: Path) -> list[Path]:
    return sorted((folder / IMAGES).glob("part-*.parquet"))
