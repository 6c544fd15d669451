"""From a listing to everything made with it: the catalog's nights joined with the registry's versions."""

from __future__ import annotations

from typing import Any

from ecclip.catalog.publish.tracing import trace_listing
from ecclip.core import ContractError, parse_night, settings
from ecclip.nights import known_nights, previous_of
from ecclip.registry import trace_back


def trace_everywhere(listing_id: str, night: str | None = None) -> dict[str, Any]:
    """Return, newest night first, the trace of a listing and the model versions made in that night.

    Raises:
        ContractError: no night of this workspace has the listing.
        ServiceError: the registry does not answer.
    """
    work = settings().work
    nights = [entry["night"] for entry in known_nights()][::-1] if night is None else [parse_night(night)]
    found = {}
    for name in nights:
        previous = previous_of(name)
        before = None if previous is None else work / "snapshots" / previous
        facts = trace_listing(listing_id, work / "nights" / name, work / "snapshots" / name, before)
        if facts is not None:
            found[name] = facts | {"models": _models(name, facts)}
    if not found:
        raise ContractError(
            "no night has this listing",
            value=listing_id,
            limit=", ".join(nights) or "no nights yet",
            next_step="check the spelling, or run the night that has it",
        )
    return {"listing_id": listing_id, "nights": found}


def _models(night: str, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the versions made from a night, and whether the listing was one that they were trained on."""
    kept = ("version", "aliases", "run_id", "lineage_id", "airflow_run", "git_commit")
    trained = "shard" in facts
    return [{name: made[name] for name in kept} | {"trained_on_it": trained} for made in trace_back(night)]
