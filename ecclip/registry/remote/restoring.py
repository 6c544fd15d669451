"""Restore a night's snapshot from DVC's cache or remote: complete and verified, or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ecclip.core import IntegrityError, ServiceError, get_logger, parse_night, settings, verify_folder
from ecclip.registry.data_versions import has_remote, lock_entries, run_dvc

_WAIT_S = 180.0  # as for a version of the data


def restore_snapshot(night: str, wait_s: float = _WAIT_S) -> Path:
    """Restore the recorded snapshot of a night and return its folder, every file verified against its manifest.

    DVC trusts its cache. An object there that is damaged is removed and fetched once more from the remote.

    Raises:
        ConfigError: the workspace is not a DVC workspace.
        ServiceError: DVC's lock was held for ``wait_s`` seconds, or an object is missing; names the object.
        IntegrityError: a file is damaged and no remote has an intact copy; the message names file and object.
    """
    folder = settings().work / "snapshots" / parse_night(night)
    target = f"publish@{parse_night(night)}"
    bring([target], wait_s)
    try:
        verify_folder(folder)
    except IntegrityError as error:
        damaged = Path(str(error.value))
        get_logger().warning("an object of DVC is damaged and is fetched again", path=str(damaged))
        held = _remove(night, folder, damaged)
        if not has_remote():
            raise _lost(damaged, held) from error
        bring([target], wait_s)
        try:
            verify_folder(folder)
        except IntegrityError as again:
            damaged = Path(str(again.value))
            raise _lost(damaged, _remove(night, folder, damaged)) from again
    return folder


def bring(targets: Sequence[str], wait_s: float = _WAIT_S) -> None:
    """Restore recorded outputs from the remote, or from the cache where there is no remote.

    Raises:
        ServiceError: DVC's lock was held for ``wait_s`` seconds, or an object is missing; names the object.
    """
    result = run_dvc(["pull" if has_remote() else "checkout", "--force", *targets], wait_s)
    if result.returncode == 0:
        return
    missing = re.findall(r"\b[0-9a-f]{32}(?:\.dir)?\b", result.stderr)
    names = {key: name for target in targets for key, name in _names(target).items()}
    raise ServiceError(
        f"DVC cannot restore {', '.join(targets)}",
        value=", ".join(f"{key} ({names.get(key, 'folder')})" for key in dict.fromkeys(missing))
        or result.stderr.strip()[-500:],
        next_step="push it again from an intact copy (dvc push), or run the stage again",
    )


def _remove(night: str, folder: Path, damaged: Path) -> Path | None:
    """Take a damaged file out of the snapshot and out of the cache, where it may be one file with two names."""
    relative = damaged.relative_to(folder).as_posix()
    names = _names(f"publish@{parse_night(night)}")
    key = next((key for key, name in names.items() if name == relative), None)
    damaged.unlink(missing_ok=True)
    if key is None:
        return None
    held = _object(key)
    held.unlink(missing_ok=True)
    return held


def _names(target: str) -> dict[str, str]:
    """Return md5 to relative path of the files that DVC recorded of a stage's output."""
    stage, _, night = target.partition("@")
    outputs = lock_entries(night, [stage]).get(target, {}).get("outs") or [{}]
    listing = _object(outputs[0].get("md5") or "none")
    if not listing.is_file():
        return {}
    return {entry["md5"]: entry["relpath"] for entry in json.loads(listing.read_bytes())}


def _object(key: str) -> Path:
    return settings().work / "dvc" / "cache" / "files" / "md5" / key[:2] / key[2:]


def _lost(damaged: Path, held: Path | None) -> IntegrityError:
    return IntegrityError(
        "a file of the snapshot is damaged and cannot be fetched",
        value=f"{damaged} (object {held})",
        next_step="push it again from an intact copy (dvc push), or publish the night again",
    )
