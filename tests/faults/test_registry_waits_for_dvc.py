"""A DVC lock that another process holds is waited for, not for ever, and the message says what to do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dvc_workspaces import make_dvc_workspace
from snapshots import write_snapshot

from ecclip.core import ServiceError, settings
from ecclip.pipeline import run_stage
from ecclip.registry import dvc_version, record_version

NIGHT = "2026-11-01"
HOLD = (
    "import sys, time, zc.lockfile; lock = zc.lockfile.LockFile(sys.argv[1]); print('held', flush=True);"
    " time.sleep(float(sys.argv[2])); lock.close()"
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_dvc_workspace(tmp_path / "workspace", monkeypatch, [NIGHT])
    write_snapshot(folder / "work" / "snapshots" / NIGHT, listings=12)
    run_stage("start", NIGHT)
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


@contextmanager
def _held(workspace: Path, seconds: float) -> Iterator[None]:
    lock = workspace / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(lock), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        yield
        holder.terminate()


@pytest.mark.fault(17)
def test_a_lock_held_too_long_ends_the_wait_and_names_the_lock(workspace: Path) -> None:
    started = time.monotonic()
    with _held(workspace, 120), pytest.raises(ServiceError, match=r"another DVC process.*\.dvc/tmp/lock"):
        record_version(NIGHT, ["start"], wait_s=2)
    assert time.monotonic() - started < 60
    assert not (workspace / "dvc.lock").exists()


@pytest.mark.fault(17)
def test_a_lock_that_is_released_in_time_costs_only_the_wait(workspace: Path) -> None:
    with _held(workspace, 6):
        record_version(NIGHT, ["start"], wait_s=90)
    assert f"start@{NIGHT}" in (workspace / "dvc.lock").read_text()
    assert dvc_version(NIGHT) == ""
