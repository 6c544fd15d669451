"""What is remembered of a night, and the history of recent accepted nights that a snapshot carries."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ecclip.core import IntegrityError, canonical_json, write_atomic
from ecclip.formats.documents import read_document, read_field, write_document
from ecclip.formats.snapshot import HISTORY, previous_snapshot

FACTS = "facts.json"
_HISTORY = "ecclip.history/1"


class Prices(BaseModel):
    """Positive prices of one currency: how many, and the base-10 logarithms of some of their quantiles."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    listings: int
    log10_quantiles: dict[str, float]


class LabelShare(BaseModel):
    """Share of the listings that have a label, and what it would be at least and at most without some one seller."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    share: float
    low: float
    high: float


class NightFacts(BaseModel):
    """The statistics of one night that later nights are compared with.

    ``shares`` are 0..1 under ``<kind>/<what>``: missing (null, by field), repeated (title, content), dropped (by
    reason, of the rows read), bad_photo (by reason, of the listings with a photo), grouped, mismatch.
    ``labels`` are the shares of labels by metric; nights from before they were counted have none.
    ``fingerprint`` names rows and photos, ``rows`` the rows alone; ``new_photos`` were absent the night before.
    ``accepted`` names the shifts that a person let pass: for those the history begins with this night.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    fingerprint: str
    rows: str = ""
    new_photos: int = 0
    listings: int
    shares: dict[str, float]
    distributions: dict[str, dict[str, int]]
    prices: dict[str, Prices]
    labels: dict[str, LabelShare] = {}
    accepted: list[str] = []


def read_facts(checked: Path) -> NightFacts:
    """Return what ``check`` recorded of a night; IntegrityError when there is nothing."""
    path = checked / FACTS
    if not path.is_file():
        raise IntegrityError("the night's facts are missing", value=path, next_step="run check for this night")
    return NightFacts.model_validate_json(path.read_bytes())


def read_history(previous: Path) -> list[NightFacts]:
    """Return the last good nights, oldest first, from the previous snapshot; none for the first night.

    Raises:
        IntegrityError: the previous snapshot carries no history that can be used: without it the gate cannot compare.
    """
    if previous_snapshot(previous) is None:
        return []
    path, next_step = previous / HISTORY, "run publish of that night again"
    nights = read_field(read_document(path, _HISTORY, next_step), "nights", list, path, next_step)
    try:
        return [NightFacts.model_validate(night) for night in nights]
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise IntegrityError(
            f"the facts of a night in {path} cannot be used", value=place, limit=wrong["msg"], next_step=next_step
        ) from error


def write_facts(folder: Path, facts: NightFacts) -> None:
    """Write ``facts.json`` into a folder."""
    write_atomic(folder / FACTS, canonical_json(facts.model_dump()))


def write_history(folder: Path, nights: list[NightFacts], keep: int) -> None:
    """Write ``history.json`` with the last ``keep`` of ``nights``."""
    kept = [night.model_dump() for night in nights[-keep:]]
    write_document(folder / HISTORY, _HISTORY, {"nights": kept})
