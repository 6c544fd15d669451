"""Outputs of stages by their digests, from one workspace to another over the DVC remote that both know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecclip.core import ServiceError, parse_night, settings, verify_folder
from ecclip.registry.data_versions import enter_lock, lock_entries, record_version
from ecclip.registry.remote.push import push_entries
from ecclip.registry.remote.restoring import bring


def push_outputs(night: str, stages: Sequence[str]) -> dict[str, Any]:
    """Record the outputs of stages, push them, and return their entries of dvc.lock, which hold the digests.

    Raises:
        ConfigError: the workspace is no DVC workspace, or has no remote.
        ServiceError: an output is missing, or the remote does not take it.
    """
    record_version(night, stages)
    entries = lock_entries(night, stages)
    push_entries(f"{parse_night(night)}-{'-'.join(stages)}", entries)
    return entries


def fetch_outputs(entries: Mapping[str, Any]) -> list[Path]:
    """Fetch the outputs of another workspace's entries and return their folders, every file verified.

    Raises:
        ServiceError: the remote has not all of it, or an entry names no output.
        IntegrityError: a file is not what its manifest says.
    """
    enter_lock(entries)
    bring(sorted(entries))
    folders = [settings().workspace / output["path"] for entry in entries.values() for output in entry["outs"]]
    if not folders:
        raise ServiceError(
            "there is nothing to fetch", value=sorted(entries), next_step="run the stage that wrote it once more"
        )
    for folder in folders:
        verify_folder(folder)
    return folders
