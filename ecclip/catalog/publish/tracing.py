"""The way of one listing through one night: from its row in the dump to its row in a training shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from ecclip.catalog.dump.listing_files import listing_files, read_rows
from ecclip.core import digest_of
from ecclip.formats.columns import GROUP_ID
from ecclip.formats.shards import Shards
from ecclip.formats.snapshot import GROUPS, LISTINGS, PHOTO, QUARANTINE, SHARDS

_BYTES = (PHOTO,)
_MEMBERS = 50  # of a group that are named


def trace_listing(listing_id: str, night: Path, snapshot: Path, previous: Path | None = None) -> dict[str, Any] | None:
    """Return the listing as it came in, what was changed, its group with the evidence, and where it went; None if the
    night did not have it.

    Args:
        listing_id: of the dump.
        night: folder of the night's stages (``nights/<night>``); stages that are gone are left out.
        snapshot: folder of the night's snapshot.
        previous: folder of the snapshot before, to say what changed.
    """
    published = _first(snapshot / LISTINGS, listing_id)
    facts: dict[str, Any] = {
        "dump": _dump_rows(listing_id, night / "land"),
        "quarantine": [row for name in ("ingest", "clean") for row in _rows(night / name / QUARANTINE, listing_id)],
        "ingested": _first(night / "ingest" / LISTINGS, listing_id),
        "published": published,
    }
    if not any(facts.values()):
        return None
    if published is not None:
        facts["snapshot"] = {"folder": str(snapshot), "digest": digest_of(snapshot)}
        facts["group"] = _group(listing_id, published[GROUP_ID], snapshot)
        facts["shard"] = Shards(snapshot / SHARDS).find(listing_id)
        facts["since"] = _since(listing_id, published, previous)
    return {name: value for name, value in facts.items() if value}


def _dump_rows(listing_id: str, landed: Path) -> list[dict[str, Any]]:
    if not (landed / LISTINGS).is_dir():
        return []
    return [
        {"file": path.name, "row": {name: value for name, value in row.items() if name not in _BYTES}}
        for path in listing_files(landed / LISTINGS)
        for row in read_rows(path)
        if str(row.get("listing_id", "")).strip() == listing_id
    ]


def _group(listing_id: str, group_id: str, snapshot: Path) -> dict[str, Any]:
    """Return the group's members and the evidence that holds this listing in it."""
    listings = ds.dataset(snapshot / LISTINGS, format="parquet")
    named = listings.to_table(columns=["listing_id"], filter=ds.field(GROUP_ID) == group_id)
    members = sorted(named.column("listing_id").to_pylist())
    edges = ds.dataset(snapshot / GROUPS, format="parquet")
    touching = (ds.field("left") == listing_id) | (ds.field("right") == listing_id)
    found = edges.to_table(filter=touching).to_pylist()
    return {
        GROUP_ID: group_id,
        "listings": len(members),
        "members": members[:_MEMBERS],
        "evidence": sorted(found, key=lambda edge: (edge["left"], edge["right"], edge["evidence"])),
    }


def _since(listing_id: str, published: dict[str, Any], previous: Path | None) -> dict[str, Any] | str:
    """Return the fields that differ from the previous snapshot, each with its old value."""
    before = None if previous is None else _first(previous / LISTINGS, listing_id)
    if before is None:
        return "new"
    changed = {name: before[name] for name in published if name in before and before[name] != published[name]}
    return changed or "unchanged"


def _first(folder: Path, listing_id: str) -> dict[str, Any] | None:
    return next(iter(_rows(folder, listing_id)), None)


def _rows(folder: Path, listing_id: str) -> list[dict[str, Any]]:
    if not any(folder.glob("*.parquet")):
        return []
    dataset = ds.dataset(folder, format="parquet")
    columns = [name for name in dataset.schema.names if name not in _BYTES]
    found = dataset.to_table(columns=columns, filter=ds.field("listing_id") == listing_id)
    return [dict(row) for row in found.to_pylist()]
