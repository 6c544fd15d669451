"""The second look, before publishing: what only cleaning, grouping and the champion's embeddings could show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from ecclip.catalog._expectations import Rule
from ecclip.catalog._history import NightFacts, read_facts
from ecclip.catalog._mismatch import MismatchConfig, mismatched, read_pairs
from ecclip.catalog._shift import RELEASED, ShiftConfig, shifts
from ecclip.catalog._verdict import accept, look, pronounce, shift_table


class ReleaseConfig(ShiftConfig, MismatchConfig):
    """What the cleaned and grouped night must keep."""

    min_published: int = Field(1, ge=0, description="a snapshot of fewer listings is refused")


def release(
    cfg: ReleaseConfig,
    checked: Path,
    cleaned: Path,
    grouped: Path,
    pairs: Path,
    history: Sequence[NightFacts],
    output: Path,
) -> tuple[NightFacts, pa.Table]:
    """Judge a night by its photos, groups and mismatches; return its facts and the mismatched listings.

    ``verdict.json`` is written to ``output``.

    Raises:
        GateError: a rule fails. Verdict and data docs are then in ``<output>.refused/``.
    """
    before = read_facts(checked)
    scored = read_pairs(pairs)
    wrong = mismatched(scored, cfg.least_agreement)
    listings, own = _shares(cleaned, grouped)
    if scored.num_rows:
        own["mismatch"] = wrong.num_rows / scored.num_rows
    own = {name: round(share, 6) for name, share in own.items()}
    tonight = before.model_copy(update={"shares": dict(sorted({**before.shares, **own}.items()))})
    found = [shift for shift in shifts(cfg, tonight, history) if shift.name.startswith(RELEASED)]
    accepted = accept(cfg, tonight, found)
    tonight = tonight.model_copy(update={"accepted": sorted({*before.accepted, *accepted})})
    rules = [Rule.within("published", float(cfg.min_published), None)]
    more = {"published": float(listings)}
    if scored.num_rows:
        rules.append(Rule.within("mismatch_share", None, cfg.max_mismatch_share))
        more |= {"mismatch_share": own["mismatch"]}
    table = shift_table(found, accepted, more, rules)
    pronounce([table], look(table, output / "data_docs"), found, tonight, output, "the snapshot was")
    return tonight, wrong


def _shares(cleaned: Path, grouped: Path) -> tuple[int, dict[str, float]]:
    """Return the number of listings, and shares of bad photos by reason and of grouped listings."""
    photos = _columns(cleaned / "listings", ["image_sha256", "image_error"])
    shown = pc.sum(pc.or_(pc.is_valid(photos["image_sha256"]), pc.is_valid(photos["image_error"]))).as_py() or 0
    reasons = pc.value_counts(photos["image_error"].combine_chunks().drop_null()).to_pylist()
    shares = {f"bad_photo/{entry['values']}": entry["counts"] / max(shown, 1) for entry in reasons}
    groups = _columns(grouped / "groups", ["group_id"])["group_id"]
    sizes = pc.value_counts(groups.combine_chunks()).field("counts")
    total = max(len(groups), 1)
    shares["grouped/duplicates"] = 1 - len(sizes) / total if len(groups) else 0.0
    shares["grouped/largest"] = (pc.max(sizes).as_py() or 0) / total
    return photos.num_rows, shares


def _columns(folder: Path, names: list[str]) -> pa.Table:
    return pa.concat_tables([pq.read_table(path, columns=names) for path in sorted(folder.glob("*.parquet"))])
