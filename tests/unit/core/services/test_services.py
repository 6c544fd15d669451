"""Services are found again by pid and start time, and stopped with everything that they started."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from ecclip.core import ServiceError, canonical_json, settings, write_atomic
from ecclip.core.services import PLACEHOLDER, Service, Services


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    Services().stop("sleeper")
    settings.cache_clear()


def start(code: str) -> Service:
    return Services().start("sleeper", [sys.executable, "-c", code], os.environ)


def test_a_service_is_found_again_and_stopped() -> None:
    service = start("import time; time.sleep(3600)")
    assert Services().find("sleeper") == service
    assert Services().stop("sleeper")
    assert not service.is_running()
    assert Services().find("sleeper") is None
    assert not Services().stop("sleeper")


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
    Services().stop("sleeper", grace_s=0.5)
    assert [one for one in family if lives(one)] == []


def test_a_foreign_process_with_the_recorded_pid_is_left_alone() -> None:
    service = start("import time; time.sleep(3600)")
    path = Services().record_path("sleeper")
    write_atomic(path, canonical_json(asdict(replace(service, started=service.started - 1000))))
    assert Services().find("sleeper") is None
    write_atomic(path, canonical_json(asdict(replace(service, pid=os.getpid(), started=1.0))))
    assert not Services().stop("sleeper")
    write_atomic(path, canonical_json(asdict(service)))


def test_half_a_record_is_no_service() -> None:
    Services().record_path("sleeper").parent.mkdir(parents=True)
    Services().record_path("sleeper").write_text('{"pid": 1')
    assert Services().find("sleeper") is None


def _start_and_look(code: str) -> None:
    service = start(code)
    wait_until(lambda: not service.is_running(), "the end of the service")
    service.require_alive()


def test_a_service_that_dies_at_its_start_says_why() -> None:
    with pytest.raises(ServiceError, match="no such colour"):  # from the start itself, or from the look after it
        _start_and_look("raise SystemExit('no such colour')")


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ServiceError, match=r"/no/such/program.*No such file"):
        Services().start("sleeper", ["/no/such/program"], os.environ)
    assert Services().last("sleeper") is None


def test_a_later_process_with_the_pid_of_an_ended_service_keeps_its_session() -> None:
    service = start("import time; time.sleep(3600)")
    path = Services().record_path("sleeper")
    write_atomic(path, canonical_json(asdict(replace(service, started=service.started - 5))))
    assert not Services().stop("sleeper")
    assert service.is_running()
    write_atomic(path, canonical_json(asdict(service)))


def test_its_secrets_are_read_by_the_program_and_not_on_its_command_line(workspace: Path) -> None:
    code = f"""
import os, sys, time
open({str(workspace / "read")!r} + ".tmp", "w").write(" ".join(sys.argv[1:]))
os.rename({str(workspace / "read")!r} + ".tmp", {str(workspace / "read")!r})
time.sleep(3600)
"""
    command = [sys.executable, "-c", code, PLACEHOLDER, "between", PLACEHOLDER]
    service = Services().start("sleeper", command, os.environ, hidden=["sesame-opens", "sesame-shuts"])
    wait_until((workspace / "read").exists, "the program")
    assert (workspace / "read").read_text() == "sesame-opens between sesame-shuts"
    assert "sesame" not in " ".join(psutil.Process(service.pid).cmdline())
    assert stat.S_IMODE(Services().record_path("sleeper").stat().st_mode) == 0o600


def test_its_shared_memory_goes_with_it(workspace: Path) -> None:
    prefix = f"ecclip_test_{os.getpid()}_"
    region = Path("/dev/shm") / f"{prefix}region"
    service = Services().start(
        "sleeper", [sys.executable, "-c", "import time; time.sleep(3600)"], os.environ, shared_memory=prefix
    )
    region.write_bytes(b"left")
    assert str(region) in service.remains()
    assert Services().stop("sleeper")
    assert service.remains() == []


@pytest.mark.parametrize("keep", [True, False])
def test_the_log_of_the_service_before_is_kept_where_that_is_wanted(keep: bool) -> None:
    for word in ("first", "second"):
        command = [sys.executable, "-c", f"import time; print({word!r}, flush=True); time.sleep(3600)"]
        service = Services().start("sleeper", command, os.environ, keep_log=keep)
        wait_until(lambda log=service.log, word=word: word in Path(log).read_text(), "its word")  # type: ignore[misc]
        Services().stop("sleeper")
    assert ("first" in Path(service.log).read_text()) is keep
