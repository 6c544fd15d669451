"""Nights as grouping sees them: cleaned listings in, and the published snapshot that the next night reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.catalog.group.stage import GroupConfig, group
from ecclip.formats.snapshot import mark_snapshot

_PHOTO = ("image_sha256", "image_phash", "image_error")
_TEXTS = ("listing_id", "grouping_title", "catalog_id", "brand", "currency", *_PHOTO)
SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXTS]
    + [("price", pa.float64()), ("category", pa.list_(pa.string()))]
    + [("attributes", pa.map_(pa.string(), pa.string())), ("image", pa.binary())]
)


def listing(listing_id: str, title: str, **fields: Any) -> dict[str, Any]:
    """Return a cleaned listing; what is not named is null."""
    return {**dict.fromkeys(SCHEMA.names), "listing_id": listing_id, "grouping_title": title, **fields}


def write_cleaned(folder: Path, rows: Iterable[Mapping[str, Any]], files: int = 1) -> Path:
    """Write the least that grouping reads, rows dealt over ``files`` files."""
    (folder / "listings").mkdir(parents=True)
    table = list(rows)
    for number in range(files):
        part = pa.Table.from_pylist(table[number::files], schema=SCHEMA)
        pq.write_table(part, folder / "listings" / f"part-{number:05d}.parquet")
    return folder


def group_night(
    folder: Path, rows: Iterable[Mapping[str, Any]], previous: Path | None = None, files: int = 1, **cfg: Any
) -> dict[str, str]:
    """Group one night below ``folder``, in one partition unless ``cfg`` says more, and leave it as ``snapshot``; return
    listing -> group id.
    """
    table = list(rows)
    (folder / "none").mkdir(parents=True)
    (folder / "none" / "EMPTY").touch()
    out = folder / "group"
    clean = write_cleaned(folder / "clean", table, files)
    group(GroupConfig.model_validate({"parts": 1, **cfg}), clean, previous or folder / "none", out)
    found = {row["listing_id"]: row["group_id"] for row in pq.read_table(out / "groups").to_pylist()}
    schema = SCHEMA.append(pa.field("group_id", pa.string()))
    published = [{**row, "group_id": found[row["listing_id"]]} for row in table]
    (folder / "snapshot" / "listings").mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(published, schema=schema), folder / "snapshot" / "listings" / "part-00000.parquet"
    )
    shutil.copytree(out / "edges", folder / "snapshot" / "groups")
    mark_snapshot(folder / "snapshot")
    (folder / "snapshot" / "manifest.json").write_text("{}")
    return found


def edges(folder: Path) -> list[dict[str, Any]]:
    """Return the evidence of a night grouped below ``folder``, in order."""
    return pq.read_table(folder / "group" / "edges").to_pylist()
