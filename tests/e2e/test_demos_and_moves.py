"""Demos beside each other, interrupted anywhere, and in a workspace that was moved: real Airflow, real Triton."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from registries import MLFLOW_WARNINGS
from waiting import lives, wait_until

from ecclip.core import settings
from ecclip.local import make_workspace, status, stop_services

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ops,
    pytest.mark.timeout(7200),
    pytest.mark.filterwarnings(*MLFLOW_WARNINGS),
]

ROOT = Path(__file__).parents[2]
SERVICES = ("airflow", "triton")
DEMO = ["-m", "ecclip", "demo"]
OF_ONE_NIGHT = ["-c", "from ecclip.local import demo; demo(nights=1)"]
# what the demo has said when it is interrupted
MOMENTS = ("sample dump", "starting services", "nightly_catalog.land")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    environments = Path(os.environ.get("ECCLIP_WORKSPACE", ROOT)) / "work" / "env"
    if not (environments / "triton").is_dir():
        pytest.skip("the Triton tree is missing: make setup")
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(ROOT))
    settings.cache_clear()
    folder = tmp_path / "workspace"
    make_workspace(folder, own_parameters=True)
    text = re.sub(r"listings: \d+", "listings: 300", (folder / "params.yaml").read_text())
    # so few test listings say little: which of two nights is better is not what is tested
    (folder / "params.yaml").write_text(re.sub(r"allowed_drop: [\d.]+", "allowed_drop: 1.0", text))
    (folder / "work" / "env").symlink_to(environments)
    _enter(folder, monkeypatch)
    yield folder
    stop_services(SERVICES)
    settings.cache_clear()


def _enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    settings.cache_clear()


@contextmanager
def _demo(log: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    # a shell that started the tests in the background has them ignore SIGINT, which children would inherit
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *command], stdout=output, stderr=output, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _of_workspace(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and lives(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.fault(35)
@pytest.mark.fault(49)
@pytest.mark.fault(51)
def test_demos_are_interrupted_run_beside_each_other_and_go_on_in_a_workspace_that_was_moved(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in MOMENTS:
        _interrupt(workspace, tmp_path / "interrupted.log", moment)
    said = _two_at_once(tmp_path)
    assert re.search(r"(\d+) of \1 stages were unchanged", said)
    assert not list((workspace / "work").glob("nights/*/.*.tmp-*"))

    moved = tmp_path / "moved"
    workspace.rename(moved)
    _enter(moved, monkeypatch)
    log = tmp_path / "moved.log"
    with _demo(log, OF_ONE_NIGHT) as demo:
        assert demo.wait() == 0, log.read_text()[-3000:]
    assert re.search(r"(\d+) of \1 stages were unchanged", log.read_text())
    assert not workspace.exists(), "nothing was written where it lay"
    assert _that_say(moved / "work", tmp_path) == [], "neither where it lay nor where it lies"


def _interrupt(workspace: Path, log: Path, moment: str) -> None:
    """Interrupt a demo once it has said something, twice as people do; nothing of it is left."""
    with _demo(log, DEMO) as demo:
        wait_until(lambda: moment in log.read_text() or demo.poll() is not None, moment)
        assert demo.poll() is None, log.read_text()[-3000:]
        os.killpg(demo.pid, signal.SIGINT)
        wait_until(lambda: "stopping" in log.read_text() or demo.poll() is not None, "the end")
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait() == 130, (moment, log.read_text()[-3000:])
    assert "Traceback" not in log.read_text(), (moment, log.read_text()[-3000:])
    assert _of_workspace(workspace) == [], moment
    assert {one["state"] for one in status().values()} == {"stopped"}


def _two_at_once(folder: Path) -> str:
    """Run two demos beside each other; return what the second said."""
    logs = [folder / "first.log", folder / "second.log"]
    with _demo(logs[0], OF_ONE_NIGHT) as first:
        wait_until(lambda: "triton: " in logs[0].read_text() or first.poll() is not None, "the services")
        with _demo(logs[1], OF_ONE_NIGHT) as second:
            assert (first.wait(), second.wait()) == (0, 0), [log.read_text()[-3000:] for log in logs]
    said = [log.read_text() for log in logs]
    assert f"another demo runs here, this one begins when it has ended: process {first.pid} " in said[1]
    assert said[1].count("(was running)") == len(SERVICES)
    assert "the services go on running for" in said[0]
    assert {one["state"] for one in status().values()} == {"stopped"}
    return said[1]


def _that_say(folder: Path, path: Path) -> list[str]:
    """Return the files that contain a path; logs, Airflow's own and caches say where things lay at their time."""
    wanted, told = os.fsencode(path), {"airflow", "logs", "env", "site", "__pycache__"}
    files = (file for file in folder.rglob("*") if file.is_file() and not told & {*file.relative_to(folder).parts})
    return [str(file.relative_to(folder)) for file in files if wanted in file.read_bytes()]
