"""A stage runs in another workspace with the sender's parameters, and what it made comes back whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_workspaces import add_remote, make_dvc_workspace
from snapshots import write_snapshot

from ecclip.apart import Parcel, run_apart, send, take
from ecclip.core import ConfigError, IntegrityError, ServiceError, digest_of, settings
from ecclip.pipeline import run_stage

NIGHT = "2026-11-01"


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a workspace with a published snapshot and a remote, which is the one of the settings."""
    folder = make_dvc_workspace(tmp_path / "sender", monkeypatch, [NIGHT])
    add_remote(folder, tmp_path / "remote")
    write_snapshot(folder / "work" / "snapshots" / NIGHT, listings=12)
    for name in ("ingest", "check", "clean", "group", "pairs"):  # what publish has read
        (folder / "work" / "nights" / NIGHT / name).mkdir(parents=True)
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


def _enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    settings.cache_clear()


def _damage(remote: Path) -> None:
    for path in remote.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(bytes(reversed(path.read_bytes())))


@pytest.mark.fault(17)
def test_a_stage_runs_elsewhere_and_its_output_comes_back(
    sender: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage("start", NIGHT)
    made = sender / "work" / "nights" / NIGHT / "start"
    digest = digest_of(made)
    made.rename(sender / "start as it is made here")
    parcel = Parcel.model_validate_json(send("start", NIGHT).model_dump_json())

    worker = make_dvc_workspace(tmp_path / "worker", monkeypatch, [])
    (worker / "params.yaml").write_text("start: {mode: scratch}\n")  # the sender's count
    add_remote(worker, tmp_path / "remote")
    back = run_apart(parcel)
    assert run_apart(parcel) == back  # a worker that was killed before it could say so

    _enter(sender, monkeypatch)
    assert take(back).stage == "start"
    assert digest_of(made) == digest
    assert (sender / "work" / "reports" / NIGHT / "start.json").is_file()

    third = make_dvc_workspace(tmp_path / "third", monkeypatch, [])
    add_remote(third, tmp_path / "remote")
    _damage(tmp_path / "remote")
    with pytest.raises((ServiceError, IntegrityError)):
        run_apart(parcel)


def test_a_worker_with_other_code_refuses_before_it_fetches_anything(sender: Path) -> None:
    parcel = Parcel(stage="train", night=NIGHT, previous="none", params="", code="0" * 64, outputs={})
    with pytest.raises(ConfigError, match="not that of the sender"):
        run_apart(parcel)


def test_a_stage_that_reads_another_night_stays_here(sender: Path) -> None:
    with pytest.raises(ConfigError, match=r"snapshots/\{previous\}"):
        send("check", NIGHT)
