"""A stage runs in another workspace with the submitter's parameters, and its output comes back whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_workspaces import add_remote, make_dvc_workspace
from snapshots import write_snapshot

from ecclip.core import ConfigError, IntegrityError, ServiceError, digest_of, settings
from ecclip.pipeline import run_stage
from ecclip.remote_execution import StageRequest, StageResult, execute, fetch, submit

pytestmark = pytest.mark.heavy

NIGHT = "2026-11-01"


@pytest.fixture
def submitter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a workspace with a published snapshot and a remote, which is the one of the settings."""
    folder = make_dvc_workspace(tmp_path / "submitter", monkeypatch, [NIGHT])
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
    submitter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage("start", NIGHT)
    made = submitter / "work" / "nights" / NIGHT / "start"
    digest = digest_of(made)
    made.rename(submitter / "start as it is made here")
    request = StageRequest.model_validate_json(submit("start", NIGHT).model_dump_json())

    worker = make_dvc_workspace(tmp_path / "worker", monkeypatch, [])
    (worker / "params.yaml").write_text("start: {mode: scratch}\n")  # the submitter's count
    add_remote(worker, tmp_path / "remote")
    back = execute(request)
    assert execute(request) == back  # a worker that was killed before it could say so

    _enter(submitter, monkeypatch)
    assert fetch(StageResult.model_validate_json(back.model_dump_json())).stage == "start"
    assert digest_of(made) == digest
    assert (submitter / "work" / "reports" / NIGHT / "start.json").is_file()

    third = make_dvc_workspace(tmp_path / "third", monkeypatch, [])
    add_remote(third, tmp_path / "remote")
    _damage(tmp_path / "remote")
    with pytest.raises((ServiceError, IntegrityError)):
        execute(request)


def test_a_worker_with_other_code_refuses_before_it_fetches_anything(submitter: Path) -> None:
    request = StageRequest(stage="train", night=NIGHT, previous="none", params="", code="0" * 64, inputs={})
    with pytest.raises(ConfigError, match="not that of the submitter"):
        execute(request)


def test_a_stage_that_reads_another_night_stays_here(submitter: Path) -> None:
    with pytest.raises(ConfigError, match=r"snapshots/\{previous\}"):
        submit("check", NIGHT)
