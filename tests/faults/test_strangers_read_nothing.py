"""Every folder that services, stages and DVC make below work/ is its owner's alone, whatever the umask of the shell."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_workspaces import make_dvc_workspace
from snapshots import write_snapshot

from ecclip.core import ServiceError, settings
from ecclip.core.services import Services
from ecclip.local.airflow import write_config
from ecclip.registry import record_version

NIGHT = "2026-11-01"
STAGES = """
import os, sys
os.umask(0)
from ecclip.cli import main
sys.argv = ["ecclip", "run", "start", "--night", "2026-11-01"]
main()
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_dvc_workspace(tmp_path / "workspace", monkeypatch, [NIGHT])
    write_snapshot(folder / "work" / "snapshots" / NIGHT, listings=12)
    before = os.umask(0)  # the most careless of shells
    yield folder
    os.umask(before)
    monkeypatch.undo()
    settings.cache_clear()


def _open_to_others(folder: Path) -> list[str]:
    found = [path for path in [folder, *folder.rglob("*")] if not path.is_symlink() and path.is_dir()]
    return [f"{path} {stat.filemode(path.stat().st_mode)}" for path in found if path.stat().st_mode & 0o077]


@pytest.mark.fault(43)
def test_what_a_stage_and_dvc_make_is_closed_to_others(workspace: Path) -> None:
    work = workspace / "work"
    done = subprocess.run([sys.executable, "-c", STAGES], capture_output=True, text=True, check=False, cwd=workspace)
    assert done.returncode == 0, done.stderr[-2000:]
    record_version(NIGHT, ["start"])
    assert stat.S_IMODE(work.stat().st_mode) == 0o700
    assert (work / "dvc" / "site" / "repo").is_dir()
    made = [work / "nights" / NIGHT / "start", work / "dvc" / "site", work / "dvc" / "cache"]
    assert [line for folder in made for line in _open_to_others(folder)] == []
    if os.geteuid() == 0 and shutil.which("setpriv"):
        for path in made:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", str(path)]
            assert subprocess.run(command, capture_output=True, check=False).returncode != 0, path


@pytest.mark.fault(43)
def test_secrets_of_airflow_are_private_from_their_first_byte(workspace: Path) -> None:
    write_config(18080)
    secrets = [workspace / "work" / "airflow" / name for name in ("secrets.json", "passwords.json", "airflow.cfg")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in secrets] == [0o600] * 3
    assert "0o700" in secrets[2].read_text()


@pytest.mark.fault(43)
def test_a_service_makes_private_files_and_its_log_is_private(workspace: Path) -> None:
    made = workspace / "work" / "made"
    code = f"import os, time; os.mkdir({str(made)!r}); print('made', flush=True); time.sleep(600)"
    service = Services().start("sleeper", [sys.executable, "-c", code], os.environ)
    try:
        while not made.exists():
            os.sched_yield()
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert stat.S_IMODE(Path(service.log).stat().st_mode) == 0o600
    finally:
        Services().stop("sleeper")


@pytest.mark.fault(17)
def test_a_call_of_dvc_that_takes_too_long_is_ended_and_names_command_and_lock_holder(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_DVC_TIMEOUT_S", "0.02")  # no DVC starts that fast
    settings.cache_clear()
    lock = workspace / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f" {os.getpid()}\n")
    with pytest.raises(ServiceError, match=rf"dvc commit --force start@{NIGHT}.*process {os.getpid()} .*DVC_TIMEOUT"):
        record_version(NIGHT, ["start"])
