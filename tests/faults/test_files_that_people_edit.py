"""What people edit and merge is named with file, line and the next step, which then works: real commands, real DVC."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc_workspaces import make_dvc_workspace
from snapshots import write_snapshot

from ecclip.core import ConfigError, settings
from ecclip.registry import record_version

pytestmark = [pytest.mark.fault(51), pytest.mark.ops]

NIGHT, OTHER = "2026-11-01", "2026-11-02"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield make_dvc_workspace(tmp_path / "workspace", monkeypatch, [NIGHT])
    monkeypatch.undo()
    settings.cache_clear()


def _git(workspace: Path, *arguments: str) -> int:
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=workspace, capture_output=True, check=False).returncode


def _ecclip(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ecclip", *arguments]
    return subprocess.run(command, cwd=workspace, env=dict(os.environ), capture_output=True, text=True, check=False)


def _conflict(workspace: Path) -> None:
    """Merge what another clone has recorded for a night that is recorded here, too."""
    lock = workspace / "dvc.lock"
    base = yaml.safe_load(lock.read_text())
    assert _git(workspace, "add", "-f", "dvc.lock") == 0
    assert _git(workspace, "commit", "-q", "-m", "base") == 0
    for branch, cmd in (("theirs", "another way"), ("ours", "one way")):
        assert _git(workspace, "checkout", "-q", "-b", branch, "HEAD" if branch == "theirs" else "HEAD~1") == 0
        stages = {**base["stages"], f"publish@{OTHER}": {"cmd": cmd}}
        lock.write_text(yaml.safe_dump({**base, "stages": stages}, sort_keys=False))
        assert _git(workspace, "commit", "-q", "-a", "-m", branch) == 0
    assert _git(workspace, "merge", "theirs") == 1


def test_a_conflict_in_dvc_lock_is_named_before_dvc_reads_it_and_what_the_error_says_solves_it(workspace: Path) -> None:
    write_snapshot(workspace / "work" / "snapshots" / NIGHT, listings=12)
    assert (done := _ecclip(workspace, "run", "start", "--night", NIGHT)).returncode == 0, done.stderr
    record_version(NIGHT, ["start"])
    _conflict(workspace)
    text = (workspace / "dvc.lock").read_text()
    line = text[: text.index("<<<<<<<")].count("\n") + 1
    with pytest.raises(ConfigError, match="a conflict of a merge is left") as refused:
        record_version(NIGHT, ["start"])
    assert refused.value.value == f"{workspace / 'dvc.lock'}:{line}"
    said = re.search(r"git (checkout --ours dvc\.lock)", refused.value.next_step)
    assert said is not None
    assert _git(workspace, *said[1].split()) == 0
    record_version(NIGHT, ["start"])
    assert yaml.safe_load((workspace / "dvc.lock").read_text())["stages"][f"publish@{OTHER}"] == {"cmd": "one way"}


def test_a_half_written_params_yaml_is_one_line_and_no_traceback(workspace: Path) -> None:
    path = workspace / "params.yaml"
    path.write_text("sample: {listings: 9}\ntrain:\n  trainer: {epo")
    done = _ecclip(workspace, "run", "start", "--night", NIGHT)
    assert done.returncode == 1
    assert f"{path}:3" in done.stderr
    assert "next: " in done.stderr
    assert "Traceback" not in done.stderr
