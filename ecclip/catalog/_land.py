"""Land a dump: its listing files byte for byte, its photos packed into few files, those of the night before linked."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from ecclip.catalog._fetch import fetch_photos
from ecclip.catalog._fetched import FetchConfig, Known
from ecclip.catalog._files import listing_files, read_rows, verify_readable, write_dialects
from ecclip.catalog._landed import LandedPhotos, known_photos
from ecclip.catalog._rows import Dialect
from ecclip.core import ContractError, Counts, stage


class LandConfig(FetchConfig):
    """Parameters of landing."""

    encoding: str | None = Field(None, description="of CSV and JSON; none: by the byte order mark, else UTF-8")
    delimiter: str | None = Field(None, description="between the cells of CSV; none: by the header")
    quote: str | None = Field(None, description="around cells of CSV, '' for no quoting; none: by what can be read")
    escape: str | None = Field(None, description="before quotes within quotes, '' for doubled ones; none: as quote")
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
        _copy(path, output / "listings" / path.name)
    write_dialects(output / "listings", Dialect(cfg.encoding, cfg.delimiter, cfg.quote, cfg.escape))
    uris = sorted({uri for path in files for uri in _uris(output / "listings" / path.name)})
    found = asyncio.run(_pack(cfg, dump, previous, uris, output)) if uris else _Landed({}, 0)
    return Counts(
        read={"files": len(files), "photos": len(uris)},
        written={"files": len(files), "photos": len(uris) - sum(found.errors.values())},
        dropped=dict(sorted(found.errors.items())),
        detail={"photos_kept": found.kept},
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)  # the name is a name: nothing in it is a pattern


def _uris(path: Path) -> Iterator[str]:
    for row in read_rows(path, ["image_uri"]):
        uri = row.get("image_uri")
        if isinstance(uri, str) and uri.strip():
            yield uri.strip()


class _Landed(NamedTuple):
    errors: dict[str, int]
    kept: int


async def _pack(cfg: LandConfig, dump: Path, previous: Path, uris: list[str], folder: Path) -> _Landed:
    kept = 0
    wanted = ((uri, _within(cfg, known)) for uri, known in known_photos(previous, uris))
    writer = LandedPhotos(folder, previous, photos_per_part=cfg.photos_per_part, chunk_photos=cfg.chunk_photos)
    with writer as landed:
        async for photo in fetch_photos(cfg, dump, wanted):
            landed.add(photo)
            kept += photo.known is not None
    return _Landed(dict(landed.errors), kept)


def _within(cfg: LandConfig, known: Known | None) -> Known | None:
    return known if known is not None and known.bytes <= cfg.max_image_bytes else None
