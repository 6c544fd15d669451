"""A workspace is moved, copied, and copied while it runs: services, paths and artifacts of the other are left alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS, make_workspace, mlflow_client
from serving_bundles import tiny_bundle
from serving_server import live_server, use_serving_environment
from waiting import lives, wait_until

from ecclip import registry
from ecclip.client import Product, ProductClient
from ecclip.core import settings
from ecclip.core.services import Services
from ecclip.local import services_in_use, start_services, status, stop_services

pytestmark = [pytest.mark.fault(49), pytest.mark.ops, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

SLEEP = [sys.executable, "-c", "import time; time.sleep(3600)"]
TRITON = ("triton",)
USE = """
import sys
from ecclip.local import services_in_use
with services_in_use(("triton",)) as start:
    print("at", start().addresses["triton"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def original(tmp_path: Path) -> Iterator[Path]:
    """Yield a workspace with a service that sleeps; wherever it is moved, that is ended."""
    folder = tmp_path / "original"
    folder.mkdir()
    service = Services(folder / "work").start(
        "sleeper", SLEEP, os.environ, shared_memory=f"ecclip_moved_{os.getpid()}_"
    )
    yield folder
    if service.is_running():
        psutil.Process(service.pid).kill()


def test_a_copy_has_no_service_of_the_original_and_stops_none(original: Path, tmp_path: Path) -> None:
    at_home = Services(original / "work")
    service = at_home.find("sleeper")
    assert service is not None
    region = Path(f"/dev/shm/{service.shared_memory}region")
    region.write_bytes(b"in use")
    try:
        shutil.copytree(original, tmp_path / "copy")
        copied = Services(tmp_path / "copy" / "work")
        assert copied.find("sleeper") is None
        assert (why := copied.why_unusable(service)) == f"it serves {original}, of which this workspace is a copy", why
        assert not copied.stop("sleeper")
        assert copied.last("sleeper") is None, "the copied record is of no use to anybody"
        assert at_home.find("sleeper") == service
        assert at_home.stop("sleeper")
        shutil.copytree(original, tmp_path / "later")
        assert not region.exists()
    finally:
        region.unlink(missing_ok=True)


def test_the_copied_record_of_a_service_that_has_ended_takes_no_shared_memory(original: Path, tmp_path: Path) -> None:
    service = Services(original / "work").find("sleeper")
    assert service is not None
    shutil.copytree(original, tmp_path / "copy")
    psutil.Process(service.pid).kill()
    wait_until(lambda: not service.is_running(), "the end of the service")
    region = Path(f"/dev/shm/{service.shared_memory}region")
    region.write_bytes(b"of the next server of the original")
    try:
        Services(tmp_path / "copy" / "work").stop("sleeper")
        assert region.exists()
        Services(original / "work").stop("sleeper")
        assert not region.exists()
    finally:
        region.unlink(missing_ok=True)


def test_a_moved_workspace_stops_its_services_and_starts_them_at_its_new_place(original: Path, tmp_path: Path) -> None:
    before = Services(original / "work").find("sleeper")
    assert before is not None
    original.rename(tmp_path / "moved")
    moved = Services(tmp_path / "moved" / "work")
    assert moved.find("sleeper") is None, "it would write where the workspace lay"
    assert "lay before: make up starts it here" in moved.why_unusable(before)
    after = moved.start("sleeper", SLEEP, os.environ)
    assert not before.is_running()
    assert moved.find("sleeper") == after
    assert moved.stop("sleeper")
    assert not original.exists()


def test_a_workspace_known_by_another_name_is_the_same(original: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original)
    assert Services(tmp_path / "link" / "work").find("sleeper") == Services(original / "work").find("sleeper")


def test_a_moved_registry_goes_on_at_its_new_place_and_says_no_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_workspace(tmp_path / "first", monkeypatch)
    registry.register(write_bundle(tmp_path / "one", "2026-11-01"), "2026-11-01")
    shutil.copytree(first, tmp_path / "copy")
    first.rename(tmp_path / "second")
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path / "second"))
    settings.cache_clear()
    registered = registry.register(write_bundle(tmp_path / "two", "2026-11-02", seed=1), "2026-11-02")
    assert not first.exists()
    runs = {run.info.run_id: run for run in mlflow_client().search_runs([run_of(registered.run_id).info.experiment_id])}
    assert len(runs) == 2
    for run in runs.values():
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        assert (tmp_path / "second" / "work" / "mlflow" / "artifacts" / run.info.run_id / "artifacts").is_dir()
    assert not (tmp_path / "copy" / "work" / "mlflow" / "artifacts" / registered.run_id).exists()
    assert _that_say(tmp_path / "second" / "work", first) == []
    assert _that_say(tmp_path / "second" / "work", tmp_path / "second") == []


def run_of(run_id: str):  # type: ignore[no-untyped-def]
    return mlflow_client().get_run(run_id)


def _that_say(folder: Path, path: Path) -> list[str]:
    """Return the files that contain a path."""
    wanted = os.fsencode(path)
    return [
        str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and wanted in file.read_bytes()
    ]


def test_artifacts_that_an_older_ecclip_named_by_full_paths_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "workspace", monkeypatch)
    old = (tmp_path / "before the move" / "work" / "mlflow" / "artifacts").as_uri()
    store = mlflow_client()
    experiment = store.create_experiment("ecclip", artifact_location=old)
    own = store.create_experiment("of a person", artifact_location="file:///data/elsewhere")
    run = store.create_run(experiment)
    assert run.info.artifact_uri.startswith(f"{old}/")
    registered = registry.register(write_bundle(tmp_path / "one"), "2026-11-01")
    assert store.get_run(run.info.run_id).info.artifact_uri == f"mlflow-artifacts:/{run.info.run_id}/artifacts"
    assert store.get_experiment(experiment).artifact_location == "mlflow-artifacts:/"
    assert store.get_experiment(own).artifact_location == "file:///data/elsewhere"
    kept = workspace / "work" / "mlflow" / "artifacts" / registered.run_id / "artifacts" / "report.json"
    assert kept.is_file()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the workspace of this process, with a Triton to start."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    use_serving_environment(monkeypatch)
    yield folder
    stop_services(TRITON)
    monkeypatch.undo()
    settings.cache_clear()


def _enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    settings.cache_clear()


@pytest.mark.heavy
def test_a_copy_of_a_workspace_that_answers_has_a_server_of_its_own(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_server(workspace / "work") as (server, deployment):
        shutil.copytree(workspace, tmp_path / "copy", symlinks=True)
        first = server.attach()
        assert first is not None
        _enter(tmp_path / "copy", monkeypatch)
        said = status()["triton"]
        assert (said["state"], said["note"]) == ("stopped", f"it serves {workspace}, of which this workspace is a copy")
        with live_server(tmp_path / "copy" / "work", bundle=tiny_bundle(0)) as (other, _):
            second = other.attach()
            assert second is not None
            assert second.address != first.address
            other.repository.stage(tiny_bundle(1), 2)
        assert not second.is_running()
        assert server.attach() == first
        with ProductClient(deployment.address) as client:
            assert client.ask([Product(title="red steel mug")])[0].error == ""


@pytest.mark.heavy
def test_a_workspace_moved_while_it_answers_goes_on_below_its_new_path_alone_and_ends_when_it_is_removed(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_services(TRITON)
    supervisor, server = Services().find("triton-supervisor"), Services().find("triton")
    assert supervisor is not None
    assert server is not None
    workspace.rename(tmp_path / "moved")
    wait_until(lambda: not supervisor.is_running(), "the end of the supervisor, which has nothing to supervise")
    assert server.is_running(), "it answers until it is started at the new place"
    _enter(tmp_path / "moved", monkeypatch)
    assert "make up" in status()["triton"]["note"]
    assert start_services(TRITON).started == TRITON
    assert not server.is_running()
    assert not workspace.exists(), "nothing was written where it lay"

    supervisor, first = Services().find("triton-supervisor"), Services().find("triton")
    assert supervisor is not None
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: Services().find("triton") not in (None, first), "the server that the supervisor has started")
    server = Services().find("triton")
    assert server is not None

    def removed() -> bool:
        shutil.rmtree(tmp_path / "moved", ignore_errors=True)  # its supervisor may write while it goes
        return not (tmp_path / "moved").exists()

    wait_until(removed, "the end of the workspace")
    wait_until(lambda: not supervisor.is_running(), "the end of its supervisor")
    assert server.remains() == [], "no record says any more where it runs"


@pytest.mark.heavy
def test_services_stop_with_the_last_of_their_users(workspace: Path) -> None:
    def user() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", USE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with user() as first, user() as second:
        assert first.stdin is not None
        assert second.stdin is not None
        assert _address(first) == _address(second), "one server for both"
        said = status()["triton"]["used_by"]
        assert all(f"process {one.pid} " in said for one in (first, second)), said
        server = Services().find("triton")
        assert server is not None
        first.stdin.close()
        assert first.wait() == 0
        assert server.is_running()
        second.kill()  # it cannot say good-bye
        second.wait()
    assert server.is_running()
    assert "used_by" not in status()["triton"]
    with services_in_use(TRITON) as start:
        assert start().started == (), "what a killed user left is used, and stopped by the next one who leaves"
    assert not lives_on(server.pid)
    start_services(TRITON)
    with services_in_use(TRITON):
        pass
    assert status()["triton"]["state"] == "running", "what up started stays"


def _address(user: subprocess.Popen[str]) -> str:
    """Return where a user found the server, once it has."""
    assert user.stdout is not None
    return next(line for line in user.stdout if line.startswith("at "))


def lives_on(pid: int) -> bool:
    return psutil.pid_exists(pid) and lives(psutil.Process(pid))
