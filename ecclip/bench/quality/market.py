"""A night of the sample through the catalog's stages: groups as the catalog finds them, products as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecclip.bench.nightly.group_quality import read_truth
from ecclip.bench.nightly.nights import sample_nights, workspace
from ecclip.bench.quality.grouping import Listings
from ecclip.formats.columns import IMAGE_SHA256, SPLIT
from ecclip.formats.snapshot import Snapshot
from ecclip.sample import SampleConfig

# one of the seeds that the rules of grouping were not chosen on
MARKET = SampleConfig.model_validate({"listings": 3000, "nights": 1, "seed": 19})


def market(folder: Path, cfg: SampleConfig = MARKET) -> tuple[Path, Listings]:
    """Return the training shards of a night, which name groups that were found, and its listings with true products.

    The night is made in ``folder``, which becomes a workspace; stages that ran there before notice it.
    """
    with workspace(folder) as work:
        sample_nights(work, cfg)
        snapshot = Snapshot(work / "snapshots" / cfg.first_night)
        truth = read_truth(work / "truth" / cfg.first_night / "truth.parquet")
    return snapshot.shards, _listings(snapshot, truth)


def _listings(snapshot: Snapshot, truth: dict[str, str]) -> Listings:
    rows = snapshot.table(["listing_id", "title", SPLIT, IMAGE_SHA256]).sort_by("listing_id").to_pylist()
    photos = dict(snapshot.photos({row[IMAGE_SHA256] for row in rows if row[IMAGE_SHA256]}))
    known = [row for row in rows if row[IMAGE_SHA256] in photos and row["listing_id"] in truth]
    return Listings(
        "a night of the sample",
        [photos[row[IMAGE_SHA256]] for row in known],
        [row["title"] or "" for row in known],
        np.unique([truth[row["listing_id"]] for row in known], return_inverse=True)[1],
        np.array([row[SPLIT] for row in known]),
    )
