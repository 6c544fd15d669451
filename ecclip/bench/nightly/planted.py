"""Whether every fault planted in the sample was found or missed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from ecclip.formats.columns import IMAGE_ERROR, IMAGE_SHA256
from ecclip.formats.snapshot import LISTINGS, QUARANTINE

# what a night must say of each planted fault: the reason in quarantine
REASONS = {
    "duplicate_id": "duplicate_listing_id",
    "missing_id": "missing_listing_id",
    "missing_title": "missing_title",
    "malformed_line": "malformed_record",
    "broken_photo": "not_an_image",
    "truncated_photo": "truncated",
    "empty_photo": "empty",
    "missing_photo": "missing",
    "placeholder_photo": "placeholder",
}
# photos that look wrong and are fine: they must be published
HARMLESS = ("wrong_suffix", "cmyk_photo", "rotated_photo")


def planted_faults(truth: Path, night: Path, snapshot: Path) -> dict[str, tuple[int, int]]:
    """Return by fault how many were planted and how many of them were found (harmless ones: came through).

    Args:
        truth: of the sample's night, ``truth.parquet``.
        night: folder of its stages.
        snapshot: what was published.
    """
    rows = pq.read_table(truth, columns=["listing_id", "faults", "deleted"]).to_pylist()
    planted = Counter(fault for row in rows for fault in row["faults"] or () if not row["deleted"])
    planted["duplicate_id"] //= 2  # the truth has both lines of a repeated id, and one of them is good
    refused = Counter(
        reason
        for stage in ("ingest", "clean")
        for path in sorted((night / stage / QUARANTINE).glob("*.parquet"))
        for reason in pq.read_table(path, columns=["reason"]).column("reason").to_pylist()
    )
    with_photo = _with_photo(snapshot)
    found = {fault: (planted[fault], min(planted[fault], refused[reason])) for fault, reason in REASONS.items()}
    for fault in HARMLESS:
        ids = [row["listing_id"] for row in rows if fault in (row["faults"] or ()) and not row["deleted"]]
        found[fault] = (len(ids), sum(listing_id in with_photo for listing_id in ids))
    return {fault: counts for fault, counts in found.items() if counts[0]}


def _with_photo(snapshot: Path) -> set[str]:
    table = pq.read_table(snapshot / LISTINGS, columns=["listing_id", IMAGE_ERROR, IMAGE_SHA256])
    return {row["listing_id"] for row in table.to_pylist() if row[IMAGE_SHA256] and not row[IMAGE_ERROR]}
