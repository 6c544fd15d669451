"""Land a dump: its listing files byte for byte, its photos packed into few files, those of the night before linked."""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from ecclip.catalog.dump.listing_files import listing_files, read_rows, verify_readable, write_dialects
from ecclip.catalog.dump.rows import Dialect
from ecclip.catalog.land.fetched import FetchConfig, Fetched
from ecclip.catalog.land.fetching import fetch_photos
from ecclip.catalog.land.local_files import read_inside
from ecclip.catalog.land.photo_queue import PhotoQueue, QueuedPhoto
from ecclip.catalog.land.photos import LandedPhotos, photo_entries
from ecclip.catalog.spark.output import sibling
from ecclip.core import ContractError, Counts, StageConfig, forget_once_published, get_logger, stage
from ecclip.formats.snapshot import LISTINGS


class LandConfig(StageConfig):
    """Parameters of landing; sizes by judgment."""

    fetch: FetchConfig = Field(FetchConfig(), description="where photos may come from, and what each may cost")
    encoding: str | None = Field(None, description="of CSV and JSON; none: by the byte order mark, else UTF-8")
    delimiter: str | None = Field(None, description="between the cells of CSV; none: by the header")
    quote: str | None = Field(None, description="around cells of CSV, '' for no quoting; none: by what can be read")
    escape: str | None = Field(None, description="before quotes within quotes, '' for doubled ones; none: as quote")
    rows: str | None = Field(
        None, min_length=1, description="list that holds the rows of JSON that is one object; none: its only list"
    )
    chunk_photos: int = Field(256, ge=1, description="rows of a Parquet row group of photos")
    photos_per_part: int = Field(8192, ge=1, description="photos in one Parquet file")


@stage
def land(cfg: LandConfig, dump: Path, previous: Path, output: Path) -> Counts:
    """Copy the listing files, pack their photos into ``images/`` and say where each is: ``photos.parquet``.

    ``previous`` is what the night before landed. A photo that has not changed since (by its content in a dump, by its
    validator elsewhere) is neither fetched nor copied again: the part that holds it is linked.

    Raises:
        ContractError: the dump is not finished (neither ``_SUCCESS`` nor ``manifest.json``), has no listing files,
            or one of them is cut off.
    """
    if not any((dump / name).is_file() for name in ("_SUCCESS", "manifest.json")):
        raise ContractError(
            "the dump is not finished",
            value=dump,
            limit="_SUCCESS or manifest.json must be there",
            next_step="wait for the export to end, or write _SUCCESS last",
        )
    files = listing_files(dump)
    for path in files:
        verify_readable(path)
        _copy(path, output / LISTINGS / path.name)
    write_dialects(output / LISTINGS, Dialect(cfg.encoding, cfg.delimiter, cfg.quote, cfg.escape, rows=cfg.rows))
    found = _pack(cfg, dump, previous, [output / LISTINGS / path.name for path in files], output)
    return Counts(
        read={"files": len(files), "photos": found.named},
        written={"files": len(files), "photos": found.landed},
        dropped=found.errors,
        detail={"photos_kept": found.kept},
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)  # no glob: the name may contain pattern characters


def _uris(path: Path) -> Iterator[str]:
    for row in read_rows(path, ["image_uri"]):
        uri = row.get("image_uri")
        if isinstance(uri, str) and uri.strip():
            yield uri


class _Landed(NamedTuple):
    named: int
    landed: int
    kept: int
    errors: dict[str, int]


def _pack(cfg: LandConfig, dump: Path, previous: Path, files: list[Path], output: Path) -> _Landed:
    """Fetch remote photos, then write all photos in the order of their addresses.

    Fetched photos stay next to the output until it is published: the next attempt after an interruption continues from
    it.
    """
    spool = sibling(output, ".fetched", hidden=True)
    with PhotoQueue(spool, cfg.fetch.allowed_schemes, cfg.fetch.spool_bytes) as photos:
        for path in files:
            photos.add(_uris(path))
        photos.add_previous(entry for entry in photo_entries(previous) if entry["bytes"] <= cfg.fetch.max_image_bytes)
        named = len(photos)
        if photos.resumed:
            get_logger().info("resuming with photos from an interrupted attempt", photos=photos.resumed)
        if not named:
            landed = _Landed(0, 0, 0, {})
        else:
            asyncio.run(fetch_photos(cfg.fetch, photos))
            landed = _write(cfg, dump, previous, photos, output)
    forget_once_published(spool)
    return landed


def _write(cfg: LandConfig, dump: Path, previous: Path, photos: PhotoQueue, output: Path) -> _Landed:
    root = dump.resolve()

    def photo_of(queued: QueuedPhoto) -> Fetched:
        return queued.photo or read_inside(root, queued.address, queued.known, cfg.fetch.max_image_bytes)

    writer = LandedPhotos(output, previous, photos_per_part=cfg.photos_per_part, chunk_photos=cfg.chunk_photos)
    with writer, ThreadPoolExecutor(cfg.fetch.threads) as pool:
        for photo in _in_order(pool, photo_of, photos.in_order(), 2 * cfg.fetch.threads):
            writer.add(photo)
    return _Landed(len(photos), writer.landed, writer.kept, dict(sorted(writer.errors.items())))


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[QueuedPhoto], Fetched], queue: Iterable[QueuedPhoto], ahead: int
) -> Iterator[Fetched]:
    """Yield ``work`` of each photo in order, at most ``ahead`` of them at once in threads."""
    waiting: deque[Future[Fetched]] = deque()
    for queued in queue:
        waiting.append(pool.submit(work, queued))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
