"""From an answer back to what made it, and from data forward to the versions made from it."""

from __future__ import annotations

from typing import Any

from ecclip.core import ContractError, settings
from ecclip.formats.bundle import LINEAGE_DIGITS
from ecclip.registry.data_versions import dvc_version
from ecclip.registry.versions import ModelRef, all_versions

_BACK = ("night", "snapshot_digest", "dvc_version", "airflow_run", "git_commit")


def trace(key: str) -> dict[str, Any]:
    """Return version, runs, night, snapshot, data version and commit of a lineage id (or a whole bundle digest).

    The way back: for a night, a snapshot digest, a DVC version, an Airflow run or a git commit it returns
    ``{"key": key, "versions": [...]}`` with every version made from it.

    Raises:
        ContractError: nothing in the registry is linked to the key.
        ServiceError: the registry does not answer.
    """
    key = key.strip()
    if len(key) in (LINEAGE_DIGITS, 64):
        for reference in all_versions():
            if reference.lineage_id == key[:LINEAGE_DIGITS] and reference.digest.startswith(key):
                return _answer(reference)
    if versions := trace_back(key):
        return {"key": key, "versions": versions}
    raise ContractError(
        "nothing in the registry is linked to this key",
        value=key,
        limit="a lineage id, bundle digest, night, snapshot digest, DVC version, Airflow run or git commit",
        next_step="check the spelling, and the registry's address (ECCLIP_MLFLOW_TRACKING_URI)",
    )


def trace_back(key: str) -> list[dict[str, Any]]:
    """Return the versions made from a night, a snapshot digest, a DVC version, an Airflow run or a git commit."""
    return [
        _answer(reference)
        for reference in all_versions()
        if key in [reference.tags.get(name) or None for name in _BACK]
    ]


def _answer(reference: ModelRef) -> dict[str, Any]:
    stored = settings().work / "bundles" / reference.digest
    return {
        "lineage_id": reference.lineage_id,
        "version": reference.version,
        "aliases": list(reference.aliases),
        "bundle_digest": reference.digest,
        "bundle": str(stored) if stored.is_dir() else None,
        "run_id": reference.run_id,
        "airflow_run": reference.tags.get("airflow_run", ""),
        "night": reference.night,
        "snapshot_digest": reference.tags.get("snapshot_digest", ""),
        "dvc_version": reference.tags.get("dvc_version") or (dvc_version(reference.night) if reference.night else ""),
        "git_commit": reference.tags.get("git_commit", ""),
    }
