"""Locks between processes: they end with their holder, waits for them are bounded, and they name their holder.

A lock is a file that its holder keeps locked (``flock``) and writes its identity into. The file stays; the kernel
releases the lock when the holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ecclip.core.clock import now
from ecclip.core.configuration import patient
from ecclip.core.identity import find_process, started_at
from ecclip.core.log import get_logger
from ecclip.errors import ServiceError

_FIRST_POLL_S, _LONGEST_POLL_S = 0.02, 0.5  # pauses between two attempts; by judgment
_LOG_AFTER_S = 5.0  # a longer wait is logged with the holder; by judgment
_FOLDER_WAIT_S = 24 * 3600.0  # a day, for the longest stage: a training; by judgment
_LONGEST_COMMAND = 200  # characters of a command in a message


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """The content of a lock file: the process that holds the lock."""

    pid: int
    started: float
    host: str
    since: str
    command: str

    def __str__(self) -> str:
        here = self.host == socket.gethostname()
        ended = here and find_process(self.pid, self.started) is None
        where = "" if here else f" on {self.host}"
        return f"process {self.pid}{where}{' (ended)' if ended else ''} since {self.since}: {self.command}"


_HELD: set[tuple[int, str]] = set()  # thread and path: locks are reentrant within a thread
_OPEN: set[int] = set()  # descriptors of lock files


@contextmanager
def locked(path: Path, what: str, wait_s: float = 60.0) -> Iterator[None]:
    """Hold the lock file ``path``; reentrant within a thread.

    Args:
        path: of the lock file; its folder is created.
        what: name of what is locked, for errors and logs of those who wait.
        wait_s: longest wait in seconds, times ``ECCLIP_PATIENCE``.

    Raises:
        ServiceError: another process or thread held the lock for the whole time; names it. Or the folder was
            moved meanwhile: nothing is to be done where it lay.
    """
    key = (threading.get_ident(), os.path.realpath(path))
    if key in _HELD:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, owner = _acquire(path, what, patient(wait_s)), os.getpid()
    try:
        _HELD.add(key)
        _sign(descriptor, path)
        yield
    finally:
        if os.getpid() == owner:  # a forked child has closed its copies
            os.ftruncate(
                descriptor, 0
            )  # an unheld lock file is empty, so that folders that were locked have equal bytes
            _HELD.discard(key)
            _close(descriptor)


def folder_lock(final: Path, wait_s: float = _FOLDER_WAIT_S) -> AbstractContextManager[None]:
    """Return the lock of the writers of the folder ``final``, a file next to it; see :func:`locked`."""
    return locked(final.with_name(f".{final.name}.lock"), f"the folder {final}", wait_s)


def holder_of(path: Path) -> str:
    """Return who holds the lock file ``path`` right now, in words; an empty text if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # who only looks disturbs no other who does
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return ""


def _acquire(path: Path, what: str, limit_s: float) -> int:
    """Return the descriptor of the locked file that lies at ``path`` once it is locked: it may be removed meanwhile."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError as error:
            step = "run it again where it lies now"
            raise ServiceError(f"{what} was moved or removed meanwhile", value=path, next_step=step) from error
        _OPEN.add(descriptor)
        try:
            _wait(descriptor, path, what, limit_s)
            if _lies_at(path, descriptor):
                return descriptor
        except BaseException:
            _close(descriptor)
            raise
        _close(descriptor)


def _lies_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _close(descriptor: int) -> None:
    _OPEN.discard(descriptor)
    os.close(descriptor)


def _wait(descriptor: int, path: Path, what: str, limit_s: float) -> None:
    began, pause, logged = time.monotonic(), _FIRST_POLL_S, False
    while not _try(descriptor):
        waited = time.monotonic() - began
        if waited >= limit_s:
            raise ServiceError(
                f"another process holds the lock of {what}",
                value=f"{path}: {_holder(descriptor)}",
                limit=f"{limit_s:g} s",
                next_step="wait for that process or end it, then run again",
            )
        if waited > _LOG_AFTER_S and not logged:
            get_logger().info("waiting for a lock", what=what, lock=str(path), holder=_holder(descriptor))
            logged = True
        time.sleep(min(pause, limit_s - waited))
        pause = min(2 * pause, _LONGEST_POLL_S)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int, path: Path) -> None:
    """Write the identity of this process into the lock file, for those who wait."""
    command = shlex.join(psutil.Process().cmdline())
    holder = _Holder(
        pid=os.getpid(),
        started=started_at(),
        host=socket.gethostname(),
        since=now().isoformat(timespec="seconds"),
        command=command if len(command) <= _LONGEST_COMMAND else f"{command[:_LONGEST_COMMAND]}...",
    )
    os.ftruncate(descriptor, 0)
    try:
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
    except OSError as error:  # on a full disk: the lock holds all the same, and `down` must work there, too
        get_logger().warning("the holder of a lock is not named in it", path=str(path), error=str(error))


def _holder(descriptor: int) -> str:
    """Return a description of the holder of a lock, from what it wrote into the file."""
    try:
        return str(_Holder(**json.loads(os.pread(descriptor, 1 << 16, 0))))
    except (ValueError, TypeError):
        return "a process that has not written its identity yet"


def _leave_to_parent() -> None:
    """Close a forked child's copies: a lock ends with the process that took it, not with its last child."""
    for descriptor in _OPEN:
        os.close(descriptor)
    _OPEN.clear()
    _HELD.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
