"""Land a dump: its listing files byte for byte, its photos packed into few files."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from ecclip.catalog._files import listing_files, read_rows, verify_readable
from ecclip.core import ContractError, Counts, StageConfig, stage

_COPY_BYTES = 1 << 20
_SCHEMA = pa.schema([("image_uri", pa.string()), ("image", pa.binary()), ("error", pa.string())])


class LandConfig(StageConfig):
    """Parameters of landing."""

    max_image_bytes: int = Field(20_000_000, ge=1, description="a larger photo is not fetched: reason too_large")
    threads: int = Field(2, ge=1, description="photos fetched at once")
    chunk_photos: int = Field(256, ge=1, description="photos in memory at once, and rows of a Parquet row group")
    photos_per_part: int = Field(8192, ge=1, description="photos in one Parquet file")


@stage
def land(cfg: LandConfig, dump: Path, output: Path) -> Counts:
    """Copy the listing files and pack the photos that they name: image_uri, image (bytes) or error (reason).

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
    uris = sorted({uri for path in files for uri in _uris(path)})
    errors = _pack(cfg, dump, uris, output / "images") if uris else {}
    return Counts(
        read={"files": len(files), "photos": len(uris)},
        written={"files": len(files), "photos": len(uris) - sum(errors.values())},
        dropped=dict(sorted(errors.items())),
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with fsspec.open(str(source), "rb") as reader, target.open("wb") as writer:
        while block := reader.read(_COPY_BYTES):
            writer.write(block)


def _uris(path: Path) -> Iterator[str]:
    for row in read_rows(path, ["image_uri"]):
        uri = row.get("image_uri")
        if isinstance(uri, str) and uri:
            yield uri


def _pack(cfg: LandConfig, dump: Path, uris: list[str], folder: Path) -> dict[str, int]:
    folder.mkdir(parents=True)
    errors: dict[str, int] = {}
    root = dump.resolve()
    with ThreadPoolExecutor(cfg.threads) as pool:
        for number, start in enumerate(range(0, len(uris), cfg.photos_per_part)):
            part = iter(uris[start : start + cfg.photos_per_part])
            with pq.ParquetWriter(folder / f"part-{number:05d}.parquet", _SCHEMA, compression="none") as writer:
                while chunk := list(islice(part, cfg.chunk_photos)):
                    rows = list(pool.map(lambda uri: _fetch(cfg, root, uri), chunk))
                    writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=_SCHEMA))
                    for row in rows:
                        if row["error"]:
                            errors[row["error"]] = errors.get(row["error"], 0) + 1
    return errors


def _fetch(cfg: LandConfig, root: Path, uri: str) -> dict[str, Any]:
    image, error = None, _refusal(root, uri)
    if error is None:
        try:
            with fsspec.open(str(root / uri), "rb") as file:
                image = file.read(cfg.max_image_bytes + 1)
        except (OSError, ValueError):
            error = "missing"
        if image is not None and len(image) > cfg.max_image_bytes:
            image, error = None, "too_large"
    return {"image_uri": uri, "image": image, "error": error}


def _refusal(root: Path, uri: str) -> str | None:
    # a dump may not make this machine read what is not in it: no other scheme, no way up, no link out
    if urlsplit(uri).scheme or "\0" in uri:
        return "outside_dump"
    return None if (root / uri).resolve().is_relative_to(root) else "outside_dump"
