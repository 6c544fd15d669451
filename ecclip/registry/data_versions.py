"""Versions of a night's outputs in DVC, whichever caller ran the stages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from ecclip.core import (
    PRIVATE_UMASK,
    ConfigError,
    ServiceError,
    get_logger,
    locked,
    parse_night,
    settings,
    write_atomic,
)
from ecclip.core.edited import read_edited

_MEND_LOCK = (
    "git checkout dvc.lock (in a merge: git checkout --ours dvc.lock), or remove it; a night that it does not have "
    "then is recorded anew when it is run again"
)
_BUSY = ("Unable to acquire lock", "is busy, it is being blocked", "Lock acquisition", "rwlock")
_WAIT_S = 180.0  # for another dvc of the workspace, which holds its lock for the time of a push
_POLL_S = 0.5  # between two attempts


def record_version(night: str, stages: Sequence[str], wait_s: float = _WAIT_S) -> str:
    """Record the outputs of ``stages`` in dvc.lock and DVC's cache; return the version of the night's snapshot.

    Afterwards ``dvc repro`` finds nothing to do for them. The stages of other nights are left alone. The version is
    the md5 of the snapshot folder in dvc.lock, empty as long as ``publish`` is not recorded.

    Raises:
        ConfigError: the workspace is not a DVC workspace, or it has no such stage or night.
        ServiceError: another DVC process held its lock for ``wait_s`` seconds, or an output is missing.
    """
    targets = [f"{stage}@{parse_night(night)}" for stage in stages]
    _require_readable()
    with _changing_lock():
        # relinking swaps the stage's files for read-only hard links into the cache: no second copy on disk
        result = run_dvc(["commit", "--force", *targets], wait_s)
    if result.returncode != 0:
        message = result.stderr.strip()
        raise ServiceError("dvc could not record the night", value=message, next_step=f"dvc status {targets[0]}")
    return dvc_version(night)


def dvc_version(night: str) -> str:
    """Return the md5 of the night's snapshot in dvc.lock, or an empty string when DVC has not recorded it."""
    entries = lock_entries(night, ["publish"])
    outputs = [output for entry in entries.values() for output in entry.get("outs") or ()] or [{}]
    return str(outputs[0].get("md5", ""))


def lock_entries(night: str, stages: Sequence[str]) -> dict[str, Any]:
    """Return what dvc.lock says of a night's stages, by their names in DVC, as far as they are recorded."""
    recorded = _lock().get("stages") or {}
    names = [f"{stage}@{parse_night(night)}" for stage in stages]
    return {name: recorded[name] for name in names if name in recorded}


def enter_lock(entries: Mapping[str, Any]) -> None:
    """Enter stages into dvc.lock as another workspace has recorded them."""
    with _changing_lock():
        lock = {"schema": "2.0", **_lock()}
        lock["stages"] = {**(lock.get("stages") or {}), **entries}
        write_atomic(_lock_path(), yaml.safe_dump(lock, sort_keys=False, allow_unicode=True))


def has_remote() -> bool:
    """Return whether the workspace has a DVC remote."""
    return bool(run_dvc(["remote", "list"]).stdout.strip())


def _require_readable() -> None:
    """Read what DVC is about to read: what it says of a file that was edited names no way out.

    Raises:
        ConfigError: dvc.lock or dvc.yaml cannot be used; names file, line and the commands that mend it.
    """
    _lock()
    if (described := settings().workspace.resolve() / "dvc.yaml").is_file():
        read_edited(described, "ecclip pipeline dvc > dvc.yaml")


def _changing_lock() -> AbstractContextManager[None]:
    """Let one process at a time change dvc.lock: DVC reads it, works, and writes it whole."""
    return locked(settings().work / "dvc" / ".lock", "dvc.lock", settings().dvc_timeout_s)


def _lock_path() -> Path:
    return settings().workspace.resolve() / "dvc.lock"


def _lock() -> dict[str, Any]:
    return read_edited(_lock_path(), _MEND_LOCK) if _lock_path().is_file() else {}


def run_dvc(
    arguments: Sequence[str], wait_s: float = _WAIT_S, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run DVC in the workspace and return the result; wait for a lock that another process holds.

    Args:
        arguments: of the command.
        wait_s: how long to wait for the lock.
        folder: another DVC repository, default: the workspace.

    Raises:
        ConfigError: the workspace is not a DVC workspace.
        ServiceError: another DVC process held its lock for ``wait_s`` seconds.
    """
    root = folder or settings().workspace.resolve()
    if not (root / ".dvc").is_dir() or not (folder or (root / "dvc.yaml").is_file()):
        raise ConfigError(
            "the workspace is not a DVC workspace",
            value=root,
            next_step="run it in a clone of the project, or name a workspace: ECCLIP_WORKSPACE",
        )
    deadline = time.monotonic() + wait_s
    while True:
        result = _dvc(root, *arguments)
        if result.returncode == 0 or not any(sign in result.stderr for sign in _BUSY):
            return result
        if time.monotonic() >= deadline:
            raise ServiceError(
                "another DVC process holds the lock of the workspace",
                value=result.stderr.strip().splitlines()[0],
                limit=f"{wait_s:g} s",
                next_step=f"wait for it or end it, then run again; the lock is {lock_holder()}",
            )
        get_logger().info("waiting for another DVC process", left_s=round(deadline - time.monotonic(), 1))
        time.sleep(_POLL_S)


def _dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC in its own session; past the machine's time limit the whole session is killed."""
    site, limit = settings().work / "dvc" / "site", settings().dvc_timeout_s
    for folder in (site, site / "repo"):  # DVC would create them world-writable
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "DVC_SITE_CACHE_DIR": str(site),
        "DVC_NO_ANALYTICS": "1",
        "NO_COLOR": "1",
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        umask=PRIVATE_UMASK,
    )
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            "DVC did not end in time",
            value=f"dvc {' '.join(arguments)}; lock: {lock_holder()}",
            limit=f"{limit:g} s (ECCLIP_DVC_TIMEOUT_S)",
            next_step="end the holder of the lock or allow more time, then run again",
        ) from error
    finally:
        _end(process)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a DVC process, its children included: after the limit, or when this process has to stop."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def lock_holder() -> str:
    """Return the process named in DVC's lock and its command; the lock's path if that process is gone."""
    lock = settings().workspace.resolve() / ".dvc" / "tmp" / "lock"
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int(lock.read_text().split()[0]))
        return f"{lock}, process {process.pid} ({' '.join(process.cmdline())[:200]})"
    return str(lock)
