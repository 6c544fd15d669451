"""Services are found again by pid and start time, and stopped with everything that they started."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_ended, wait_until

from ecclip.core import ServiceError, canonical_json, settings, write_atomic
from ecclip.local import processes


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    processes.stop_service("sleeper")
    settings.cache_clear()


def start(code: str) -> processes.Service:
    return processes.start_service("sleeper", [sys.executable, "-c", code], dict(os.environ), None)


def test_a_service_is_found_again_and_stopped() -> None:
    service = start("import time; time.sleep(3600)")
    assert processes.read_service("sleeper") == service
    assert processes.stop_service("sleeper")
    assert not psutil.pid_exists(service.pid)
    assert processes.read_service("sleeper") is None
    assert not processes.stop_service("sleeper")


def test_it_runs_in_a_session_of_its_own() -> None:
    service = start("import time; time.sleep(3600)")
    assert os.getsid(service.pid) == service.pid != os.getsid(0)


@pytest.mark.fault(35)
def test_children_that_lost_their_parent_are_stopped_too(workspace: Path) -> None:
    code = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"]
child = subprocess.Popen(sleep)
middle = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdout=-3).pid)"
orphan = subprocess.run([sys.executable, "-c", middle, *sleep], stdout=subprocess.PIPE, text=True).stdout.strip()
open({str(workspace / "pids")!r} + ".tmp", "w").write(f"{{child.pid}} {{orphan}}")
os.rename({str(workspace / "pids")!r} + ".tmp", {str(workspace / "pids")!r})
time.sleep(3600)
"""
    service = start(code)
    wait_until((workspace / "pids").exists, "the orphan")
    pids = [service.pid, *map(int, (workspace / "pids").read_text().split())]
    family = [psutil.Process(pid) for pid in pids]
    assert [one for one in family if lives(one)] == family
    processes.stop_service("sleeper", grace_s=0.5)
    assert [one for one in family if lives(one)] == []


def test_a_foreign_process_with_the_recorded_pid_is_left_alone() -> None:
    service = start("import time; time.sleep(3600)")
    path = processes.record_path("sleeper")
    write_atomic(path, canonical_json(asdict(replace(service, started=service.started - 1000))))
    assert processes.read_service("sleeper") is None
    write_atomic(path, canonical_json(asdict(replace(service, pid=os.getpid(), started=1.0))))
    assert not processes.stop_service("sleeper")
    write_atomic(path, canonical_json(asdict(service)))


def test_half_a_record_is_no_service() -> None:
    processes.record_path("sleeper").parent.mkdir(parents=True)
    processes.record_path("sleeper").write_text('{"pid": 1')
    assert processes.read_service("sleeper") is None


def test_a_service_that_dies_at_its_start_says_why() -> None:
    service = start("raise SystemExit('no such colour')")
    wait_ended([psutil.Process(service.pid)], "the service")
    with pytest.raises(ServiceError, match="no such colour"):
        processes.require_alive(service)


def test_a_given_port_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("ECCLIP_MLFLOW_PORT", str(other.getsockname()[1]))
        with pytest.raises(ServiceError, match="ECCLIP_MLFLOW_PORT"):
            processes.choose_port("ECCLIP_MLFLOW_PORT")
    monkeypatch.delenv("ECCLIP_MLFLOW_PORT")
    assert processes.choose_port("ECCLIP_MLFLOW_PORT") > 1023
