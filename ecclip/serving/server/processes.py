"""A server process that outlives its starter: spawned, recognised again, stopped, and nothing left of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from ecclip.core import ConfigError, ServiceError, canonical_json, get_logger, write_atomic
from ecclip.serving.server.hidden import VARIABLE
from ecclip.serving.server.hidden import __file__ as _LAUNCHER

_SHARED_MEMORY = Path("/dev/shm")
_PORT_PATIENCE_S = 5.0
_PORTS = range(20000, 32000)


class Process(BaseModel):
    """What is written down about a running server; pid and start time together name it beyond doubt."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pid: int
    started: float
    address: str
    metrics_address: str
    shared_memory: str

    def is_running(self) -> bool:
        """Whether this very process (not a later one of the same pid) runs."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # if it was our child and is dead, let it go
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def spawn(command: list[str], environment: dict[str, str], log: Path, hidden: str) -> tuple[int, float]:
    """Start a command in a session of its own, output appended to ``log``; return pid and start time.

    The argument :data:`ecclip.serving.server.hidden.PLACEHOLDER` becomes ``hidden``, which other users cannot read.

    Raises:
        ServiceError: it cannot be started.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", _LAUNCHER, str(log), *command],
        env=environment | {VARIABLE: hidden},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ServiceError("a server cannot be started", value=f"{command[0]}: {done.stderr.strip()[-300:]}")
    pid, *visible = done.stdout.split()
    if visible:
        get_logger().warning("other users of this machine can read the server's control key on its command line")
    return int(pid), psutil.Process(int(pid)).create_time()


def used_s(process: Process) -> float:
    """Return the processor time in seconds that a server and its living children have used so far."""
    used = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        leader = psutil.Process(process.pid)
        for one in (leader, *leader.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                used += sum(one.cpu_times()[:2])
    return used


def read_process(path: Path) -> Process | None:
    """Return what is written down at ``path``, or None."""
    try:
        return Process.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def write_process(path: Path, process: Process) -> None:
    """Write a process down."""
    write_atomic(path, canonical_json(process.model_dump()))


def end(process: Process, timeout_s: float) -> None:
    """Ask a process to stop (SIGTERM), insist after ``timeout_s`` (SIGKILL), and clean up after it."""
    if process.is_running():
        os.kill(process.pid, signal.SIGTERM)
        if not _gone(process, timeout_s):
            os.kill(process.pid, signal.SIGKILL)
            if not _gone(process, 10.0):
                raise ServiceError("a process does not end", value=process.pid, limit="SIGKILL")
    sweep(process)


def sweep(process: Process) -> None:
    """Remove what a dead server left: its orphaned children and its shared memory.

    Children share the server's session, and every region's name starts with the prefix that the server was given.
    """
    if process.is_running():
        return
    orphans = [one for one in psutil.process_iter() if _belongs(one, process)]
    for orphan in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.kill()
    psutil.wait_procs(orphans, timeout=10.0)
    for region in _SHARED_MEMORY.glob(f"{process.shared_memory}*"):
        region.unlink(missing_ok=True)


def close_regions(prefix: str) -> None:
    """Take the shared memory of a server from other users: its library makes it 0644, whatever the umask says.

    It is made when a model is loaded, so this comes before the first question of the public.
    """
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            region.chmod(0o600)


def remains(process: Process) -> list[str]:
    """Return what is left of a server: processes of its session and shared memory."""
    processes = [f"process {one.pid}" for one in psutil.process_iter() if _belongs(one, process)]
    running = [f"process {process.pid}"] if process.is_running() else []
    return running + processes + [str(region) for region in _SHARED_MEMORY.glob(f"{process.shared_memory}*")]


def free_ports(seed: str, count: int) -> list[int]:
    """Return free ports of the loopback address, the same ones for a ``seed`` as long as nobody else takes them.

    They lie below the range from which systems take the near ends of connections, so that a server which is started
    again finds its port free.
    """
    first = int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16)
    ports: list[int] = []
    for step in range(_PORTS.stop - _PORTS.start):
        port = _PORTS.start + (first + step) % (_PORTS.stop - _PORTS.start)
        if _is_free(port, patience_s=_PORT_PATIENCE_S if step < count else 0.0):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise ServiceError("there is no free port on 127.0.0.1", limit=f"{_PORTS.start} to {_PORTS.stop}")


def given_port(variable: str) -> int | None:
    """Return the port that an environment variable gives, None where it is not set.

    Raises:
        ConfigError: it is no port.
        ServiceError: another process has it.
    """
    given = os.environ.get(variable)
    if given is None:
        return None
    if not given.isdigit() or not 0 < int(given) < 65536:
        raise ConfigError(f"{variable} is no port", value=given, limit="1 to 65535")
    if not _is_free(int(given), patience_s=_PORT_PATIENCE_S):
        step = "give another, or none for a free one"
        raise ServiceError("the port is taken", value=f"{variable}={given}", next_step=step)
    return int(given)


def _is_free(port: int, patience_s: float) -> bool:
    """Return whether a port can be bound; the kernel may take a moment to let go of a killed server's."""
    deadline = time.monotonic() + patience_s
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)


def _belongs(candidate: psutil.Process, process: Process) -> bool:
    try:
        if candidate.pid == process.pid or candidate.status() == psutil.STATUS_ZOMBIE:
            return False
        younger = candidate.create_time() >= process.started - 1.0
        return younger and os.getsid(candidate.pid) == process.pid
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def _gone(process: Process, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while process.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
