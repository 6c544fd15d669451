"""Whoever watches the server starts it again when it is dead or hangs, not when it is busy, and outlives bad files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from serving_server import ENVIRONMENTS, SERVING_PYTHON, live_server, use_serving_environment

from ecclip.client import Product, ProductClient
from ecclip.core import IntegrityError, settings
from ecclip.core.services import Service, Services
from ecclip.local import start_services, stop_services
from ecclip.serving import Deployment, EmbeddedServer
from ecclip.serving.server import embedded as module

pytestmark = pytest.mark.heavy

Server = tuple[EmbeddedServer, Deployment]
TRITON = ("triton",)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with live_server(tmp_path_factory.mktemp("watched")) as started:
        yield started


def _until(true: Callable[[], bool]) -> None:
    while not true():  # pytest-timeout ends what never comes
        time.sleep(0.05)


def _answers(deployment: Deployment) -> bool:
    with ProductClient(deployment.address) as client:
        return not client.ask([Product(title="red steel mug")])[0].error


@contextmanager
def _watched(server: EmbeddedServer) -> Iterator[threading.Thread]:
    stopped = threading.Event()
    watch = threading.Thread(target=server.supervise, args=(stopped, 0.05))
    watch.start()
    try:
        yield watch
    finally:
        stopped.set()
        watch.join()


@pytest.mark.fault(20)
@pytest.mark.parametrize("content", [b"", b'{"version": 1}'])
def test_a_damaged_live_file_ends_neither_answers_nor_watch_and_its_error_mends_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    embedded, deployment = server
    before = embedded.attach()
    rounds: list[int] = []
    start = embedded.start
    monkeypatch.setattr(embedded, "start", lambda: (rounds.append(1), start())[1])
    (embedded.repository.folder / "live.json").write_bytes(content)
    with _watched(embedded) as watch:
        _until(lambda: len(rounds) > 2)
        assert _answers(deployment)
        assert watch.is_alive()
        with pytest.raises(IntegrityError, match=r"live\.json cannot be read") as damage:
            embedded.repository.live()
        subprocess.run(damage.value.next_step.split(), check=True)
        assert embedded.repository.live() is not None
        seen = len(rounds)
        _until(lambda: len(rounds) > seen + 1)
        assert _answers(deployment)
    assert embedded.attach() == before, "it was never started again"


@pytest.mark.fault(20)
def test_a_dead_server_with_a_damaged_live_file_comes_back_once_the_file_is_whole(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, deployment = server
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.2)
    live, process = embedded.repository.folder / "live.json", embedded.attach()
    assert process is not None
    whole = live.read_bytes()
    live.write_text("{")
    starts = []
    spawn = embedded._spawn
    monkeypatch.setattr(embedded, "_spawn", lambda: (starts.append(1), spawn())[1])
    os.kill(process.pid, signal.SIGKILL)
    with _watched(embedded) as watch:
        _until(lambda: len(starts) > 1)
        assert watch.is_alive()
        live.write_bytes(whole)
    deployment.addresses = (embedded.start().address,)
    assert _answers(deployment)


@pytest.mark.fault(20)
def test_a_silent_server_that_wakes_up_is_not_started_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded, deployment = server
    before = embedded.attach()
    assert before is not None
    probes: list[str] = []
    probe = embedded._probe
    monkeypatch.setattr(embedded, "_probe", lambda process: (probes.append(found := probe(process)), found)[1])
    os.kill(before.pid, signal.SIGSTOP)
    with _watched(embedded):
        _until(lambda: "silent" in probes)
        os.kill(before.pid, signal.SIGCONT)
        _until(lambda: "answers" in probes)
    assert embedded.attach() == before
    assert _answers(deployment)


@pytest.mark.fault(20)
def test_a_server_that_hangs_for_good_is_started_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded, deployment = server
    before = embedded.attach()
    assert before is not None
    monkeypatch.setattr(module, "_SILENCE_S", 0.5)
    os.kill(before.pid, signal.SIGSTOP)
    assert embedded.start().pid != before.pid
    assert _answers(deployment)


@pytest.mark.fault(20)
@pytest.mark.parametrize(("work", "well"), [("while True: pass", True), ("time.sleep(3600)", False)])
def test_who_works_without_an_answer_is_busy_and_who_does_nothing_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, well: bool
) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 3.0 / settings().patience)
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
    with subprocess.Popen([sys.executable, "-c", f"{code}\n{work}"], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            port, began = int(started.stdout.readline()), psutil.Process(started.pid).create_time()
            process = Service(name="triton", pid=started.pid, started=began, log="", port=port)
            assert EmbeddedServer(tmp_path, ENVIRONMENTS / "triton", SERVING_PYTHON)._is_healthy(process) is well
        finally:
            started.kill()  # whatever was found: nobody else ends it


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    use_serving_environment(monkeypatch)
    yield tmp_path
    stop_services(TRITON)
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.fault(20)
@pytest.mark.fault(35)
def test_up_watches_the_server_and_down_ends_both(workspace: Path) -> None:
    started = start_services(TRITON)
    assert started.started == TRITON
    assert start_services(TRITON).started == ()
    server = EmbeddedServer()
    process, supervisor = server.attach(), Services().find("triton-supervisor")
    assert process is not None
    assert supervisor is not None
    os.kill(process.pid, signal.SIGKILL)
    _until(lambda: (server.attach() or process).pid != process.pid)
    assert server.start().address == started.addresses["triton"]
    os.kill(supervisor.pid, signal.SIGKILL)
    _until(lambda: Services().find("triton-supervisor") is None)
    again = start_services(TRITON)
    assert again.started == TRITON, "a server without a watch"
    assert again.addresses == started.addresses
    assert stop_services(TRITON) == ["triton"]
    assert process.remains() == []
    assert Services().find("triton-supervisor") is None
    assert stop_services(TRITON) == []
