"""A night to review: a snapshot with one wrong label, embeddings that know better, and heads that learnt from most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from known_embeddings import write_embeddings, write_known_prompts
from snapshots import CATEGORIES, change_listings, write_snapshot
from taxonomies import taxonomy_of

from ecclip.formats.taxonomy.tree import Category
from ecclip.tasks import EvaluateConfig, evaluate

NIGHT = "2026-11-01"
MUGS, LAMPS = ["home", "kitchen", "mugs"], ["home", "decor", "lamps"]
HOSTILE_TITLE = "=HYPERLINK(1)\"'><script>alert(1)</script>\u202e\x1b[2J"


def make_reviewed_night(work: Path) -> None:
    """Fill a work folder with the stages publish, embed and evaluate of one night.

    Nothing has the category beakers, which is much like mugs.
    The seller of the first mug of split train calls it a lamp, and its title is hostile; ``work/wrong`` names it.
    """
    taxonomy = taxonomy_of([path for path, _ in CATEGORIES], extra=[Category("beakers", "kitchen", {"en": "beakers"})])
    snapshot = write_snapshot(work / "snapshots" / NIGHT, listings=240, taxonomy=taxonomy)
    embedded = write_embeddings(snapshot, work / "nights" / NIGHT / "embed", noise=0.6)
    write_known_prompts(taxonomy, snapshot, embedded, alike={"beakers": "mugs"})
    rows = pq.read_table(snapshot / "listings").to_pylist()
    wrong = next(row for row in rows if row["category"] == MUGS and row["split"] == "train" and row["image"])
    (work / "wrong").write_text(wrong["listing_id"])

    def relabel(row: dict[str, Any]) -> None:
        if row["listing_id"] == wrong["listing_id"]:
            row["category"], row["title_original"], row["title"] = LAMPS, HOSTILE_TITLE, HOSTILE_TITLE

    change_listings(snapshot, relabel)
    cfg = EvaluateConfig(bootstrap_rounds=20, auto={"precision": 0.8})
    evaluate(cfg, snapshot, embedded, embedded.parent / "evaluate")
