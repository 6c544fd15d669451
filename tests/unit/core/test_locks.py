"""A lock lets one through, names its holder to whoever waits too long, and ends with the process that took it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from waiting import wait_ended, wait_until

from ecclip.core import ServiceError, folder_lock, locked

HOLD = """
import os, sys, time
from pathlib import Path
from ecclip.core import locked
with locked(Path(sys.argv[1]), "the test"):
    if sys.argv[2] == "fork" and (child := os.fork()):
        Path(sys.argv[3] + ".tmp").write_text(str(child))
    elif sys.argv[2] == "alone":
        Path(sys.argv[3] + ".tmp").write_text("0")
    if os.path.exists(sys.argv[3] + ".tmp"):
        os.rename(sys.argv[3] + ".tmp", sys.argv[3])
    time.sleep(3600)
"""


@contextmanager
def held(path: Path, how: str = "alone") -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield a process that holds the lock, and the pid of the child that it has forked under the lock."""
    ready = path.with_name("ready")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path), how, str(ready)]) as holder:
        try:
            wait_until(ready.exists, "the holder")
            yield holder, int(ready.read_text())
        finally:
            holder.kill()


def test_whoever_waits_too_long_reads_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        held(path) as (holder, _),
        pytest.raises(ServiceError, match=rf"process {holder.pid} since 20\d\d-.*python") as refused,
        locked(path, "the test", 0.01),
    ):
        raise AssertionError("two hold the lock")
    assert "(ended)" not in str(refused.value)
    assert refused.value.next_step


def test_a_killed_holder_leaves_the_lock_though_a_child_of_its_lives_on(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, "fork") as (holder, child):
        os.kill(holder.pid, signal.SIGKILL)
        wait_ended([psutil.Process(holder.pid)], "the holder")
        try:
            with locked(path, "the test", 0.01):
                assert psutil.Process(child).is_running()
        finally:
            os.kill(child, signal.SIGKILL)


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []

    def wait() -> None:
        with locked(path, "the test"):
            order.append("second")

    with locked(path, "the test"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiter.join(0.1)
        order.append("first")
    waiter.join()
    assert order == ["first", "second"]


def test_a_thread_takes_its_own_lock_again_and_keeps_it_until_the_last_end(tmp_path: Path) -> None:
    path, refusals = tmp_path / "lock", []

    def other() -> None:
        try:
            with locked(path, "the test", 0.001):
                refusals.append(None)
        except ServiceError as refused:
            refusals.append(refused)

    def ask_from_another_thread() -> bool:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return refusals.pop() is None

    with locked(path, "the test"):
        with locked(path, "the test", 0.001):
            assert not ask_from_another_thread()
        assert not ask_from_another_thread()
    assert ask_from_another_thread()


def test_what_an_ended_holder_wrote_holds_nobody_up(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "night"):
        assert f'"pid": {os.getpid()}' in (tmp_path / ".night.lock").read_text()
    assert (tmp_path / ".night.lock").read_text() == "", "what nobody holds names nobody"
    with held(tmp_path / ".night.lock"):
        pass
    with folder_lock(tmp_path / "night", 0.01):
        assert f'"pid": {os.getpid()}' in (tmp_path / ".night.lock").read_text()


def _times_open(path: Path) -> int:
    """Return how often this process has a file open."""
    files = [one.path for one in psutil.Process().open_files()]
    return files.count(str(path))


@pytest.mark.fault(49)
@pytest.mark.ops
def test_who_waits_for_a_lock_whose_folder_is_moved_does_nothing_where_it_lay(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    path, refusals = tmp_path / "work" / "lock", []

    def wait() -> None:
        try:
            with locked(path, "the workspace"):
                raise AssertionError("it lies elsewhere")
        except ServiceError as refused:
            refusals.append(str(refused))

    with locked(path, "the workspace"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: _times_open(path) == 2, "the waiter")
        (tmp_path / "work").rename(tmp_path / "moved")
    waiter.join()
    assert ["the workspace was moved or removed meanwhile" in said for said in refusals] == [True]
    assert not (tmp_path / "work").exists()


def test_who_waits_for_a_lock_file_that_is_removed_takes_the_next_one(tmp_path: Path) -> None:
    path, order = tmp_path / "lock", []

    def wait() -> None:
        with locked(path, "the test"):
            order.append(path.read_text() != "")

    with locked(path, "the test"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        wait_until(lambda: _times_open(path) == 2, "the waiter")
        path.unlink()
    waiter.join()
    assert order == [True]
