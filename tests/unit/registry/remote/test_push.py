"""A push holds no lock that those who record a night wait for, and sends what is missing, whenever that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_workspaces import add_remote, held, make_dvc_workspace

from ecclip.core import ConfigError, ServiceError, settings
from ecclip.pipeline import run_stage
from ecclip.registry import push_night, record_version

NIGHT = "2026-11-01"


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a workspace with the recorded output of a stage, which is the one of the settings."""
    folder = make_dvc_workspace(tmp_path / "sender", monkeypatch, [NIGHT])
    (folder / "work" / "snapshots" / NIGHT).mkdir()
    (folder / "work" / "snapshots" / NIGHT / "rows").write_text("one\n")
    run_stage("start", NIGHT)
    record_version(NIGHT, ["start"])
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


def _objects(remote: Path) -> list[Path]:
    return sorted(path for path in remote.rglob("*") if path.is_file())


@pytest.mark.fault(17)
def test_a_push_needs_no_lock_of_the_workspace_and_sends_what_is_missing(sender: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no DVC remote"):
        push_night(NIGHT, ["start"])
    add_remote(sender, tmp_path / "remote")
    with held(sender):
        assert push_night(NIGHT, ["start", "train"])["stages"] == [f"start@{NIGHT}"]  # nothing else is recorded
    pushed = _objects(tmp_path / "remote")
    assert pushed
    for path in pushed:
        path.unlink()
    push_night(NIGHT, ["start"])
    assert _objects(tmp_path / "remote") == pushed


def test_a_remote_that_takes_nothing_is_named_and_a_later_push_succeeds(sender: Path, tmp_path: Path) -> None:
    add_remote(sender, tmp_path / "remote")
    (tmp_path / "remote").rmdir()
    (tmp_path / "remote").write_text("a file where a folder is wanted")
    with pytest.raises(ServiceError, match="does not take"):
        push_night(NIGHT, ["start"])
    (tmp_path / "remote").unlink()
    push_night(NIGHT, ["start"])
    assert _objects(tmp_path / "remote")
