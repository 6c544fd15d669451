"""The second check, before publishing: what only cleaning, grouping and the champion's embeddings can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from ecclip.catalog.clean.photos import PHOTO_SAYS
from ecclip.catalog.gate.expectations import Rule
from ecclip.catalog.gate.history import NightFacts, read_facts
from ecclip.catalog.gate.shift import RELEASED, ShiftConfig, shifts
from ecclip.catalog.gate.verdict import accept_shifts, shift_table, validate_shifts, write_verdict
from ecclip.catalog.spark.parts import count_given, count_rows, count_values
from ecclip.core import StageConfig
from ecclip.formats import pair_scores
from ecclip.formats.columns import GROUP_ID, IMAGE_ERROR
from ecclip.formats.snapshot import GROUPS, LISTINGS


class MismatchConfig(StageConfig):
    """When a photo and a title do not belong together; defaults by judgment."""

    min_agreement: float = Field(
        1.0,
        description="standard deviations by which a photo must be nearer to its own title than to those of other"
        " listings, and the title to its own photo; below it the listing is not a training pair",
    )
    max_share: float = Field(
        0.2, ge=0, le=1, description="a night with a larger share of the scored listings is refused"
    )


class ReleaseConfig(StageConfig):
    """What the cleaned and grouped night must keep; defaults by judgment."""

    shift: ShiftConfig = Field(ShiftConfig(), description="how far a night may be from the last good nights")
    mismatch: MismatchConfig = Field(MismatchConfig(), description="when a photo and a title do not belong together")
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
    """Check a night's photos, groups and mismatches; return its facts and the mismatched listings.

    ``verdict.json`` is written to ``output``.

    Raises:
        GateError: a rule fails. Verdict and data docs are then in ``<output>.refused/``.
    """
    before = read_facts(checked)
    scored = pair_scores.read_agreements(pairs)
    wrong = pair_scores.below(scored, cfg.mismatch.min_agreement)
    listings, own = _shares(cleaned, grouped)
    if scored.num_rows:
        own["mismatch"] = wrong.num_rows / scored.num_rows
    own = {name: round(share, 6) for name, share in own.items()}
    tonight = before.model_copy(update={"shares": dict(sorted({**before.shares, **own}.items()))})
    found = [shift for shift in shifts(cfg.shift, tonight, history) if shift.name.startswith(RELEASED)]
    accepted = accept_shifts(cfg.shift, tonight, found)
    tonight = tonight.model_copy(update={"accepted": sorted({*before.accepted, *accepted})})
    rules = [Rule.within("published", float(cfg.min_published), None)]
    more = {"published": float(listings)}
    if scored.num_rows:
        rules.append(Rule.within("mismatch_share", None, cfg.mismatch.max_share))
        more |= {"mismatch_share": own["mismatch"]}
    table = shift_table(found, accepted, more, rules)
    write_verdict([table], validate_shifts(table, output / "data_docs"), found, tonight, output, "the snapshot was")
    return tonight, wrong


def _shares(cleaned: Path, grouped: Path) -> tuple[int, dict[str, float]]:
    """Return the number of listings, and shares of bad photos by reason and of grouped listings."""
    shown = count_given(cleaned / LISTINGS, PHOTO_SAYS)
    reasons = count_values(cleaned / LISTINGS, IMAGE_ERROR)
    shares = {f"bad_photo/{reason}": count / max(shown, 1) for reason, count in reasons.items()}
    sizes, listings = count_values(grouped / GROUPS, GROUP_ID), count_rows(grouped / GROUPS)
    shares["grouped/duplicates"] = 1 - len(sizes) / listings if listings else 0.0
    shares["grouped/largest"] = max(sizes.values(), default=0) / max(listings, 1)
    return count_rows(cleaned / LISTINGS), shares
