"""The held-out listings of a snapshot, on which training measures itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from ecclip.formats.columns import GROUP_ID, IMAGE_SHA256, SPLIT
from ecclip.formats.sampling import smallest_hashes
from ecclip.formats.snapshot import Snapshot


def held_out(folder: Path, limit: int) -> tuple[list[bytes], list[str], np.ndarray]:
    """Return photos, titles and group codes int64 [n] of validation listings with a photo, from a snapshot's folder.

    If there are more than ``limit``, those with the smallest hash of their id are taken: the same ones every night.

    Raises:
        ContractError: the snapshot has a schema that this code does not know, or cannot be read.
    """
    snapshot = Snapshot(folder)
    table = snapshot.table(["listing_id", "title", GROUP_ID, IMAGE_SHA256], pc.field(SPLIT) == "validation")
    kept = sorted(smallest_hashes(table["listing_id"].to_pylist(), limit))
    rows = table.take(np.array(kept, dtype=np.int64)).to_pylist()
    photos = dict(snapshot.photos({row[IMAGE_SHA256] for row in rows if row[IMAGE_SHA256] is not None}))
    found = [row for row in rows if row[IMAGE_SHA256] in photos]
    codes = {name: code for code, name in enumerate(dict.fromkeys(row[GROUP_ID] for row in found))}
    groups = np.asarray([codes[row[GROUP_ID]] for row in found], dtype=np.int64)
    return [photos[row[IMAGE_SHA256]] for row in found], [row["title"] or "" for row in found], groups
