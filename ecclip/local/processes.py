"""Services of this machine: started in a session of their own, found again, stopped whole."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from ecclip.core import PRIVATE_UMASK, ServiceError, canonical_json, patient, settings, write_atomic

_KILLED_S = 10.0  # for the system to end what was killed
_LAST_LINES = 15
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, kw_only=True)
class Service:
    """What work/run/<name>.json says: the leader of the service's session, when it started, and where it listens."""

    name: str
    pid: int
    started: float
    port: int | None
    log: str


def record_path(name: str) -> Path:
    """Return where a service's record lies."""
    return settings().work / "run" / f"{name}.json"


def log_path(name: str) -> Path:
    """Return where a service's output goes."""
    return settings().work / "logs" / f"{name}.log"


def read_service(name: str) -> Service | None:
    """Return a service's record if its process lives: same pid and same start time."""
    service = _read_any(name)
    return service if service and _leader(service) else None


def start_service(name: str, command: Sequence[str], env: dict[str, str], port: int | None) -> Service:
    """Start a command in its own session with its output in work/logs/, and write its record."""
    log = log_path(name)
    with private_file(log) as output:
        process = subprocess.Popen(
            list(command),
            env=env,
            cwd=settings().workspace,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
    _CHILDREN[process.pid] = process
    started = psutil.Process(process.pid).create_time()
    service = Service(name=name, pid=process.pid, started=started, port=port, log=str(log))
    write_atomic(record_path(name), canonical_json(asdict(service)))
    return service


def private_file(path: Path) -> BinaryIO:
    """Open a file for writing, empty, that its owner alone can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def stop_service(name: str, *, grace_s: float = 5.0) -> bool:
    """Stop a service with everything it started; return whether anything lived.

    The leader is asked first (SIGTERM); what is left of its session after ``grace_s`` is killed.
    """
    service = _read_any(name)
    if service is None:
        return False
    members = _members(service)
    leader = _leader(service)
    if leader:
        with suppress(psutil.NoSuchProcess):
            leader.terminate()
        psutil.wait_procs([leader], timeout=grace_s)
    _reap(service.pid)
    members += [process for process in _session(service) if process not in members]
    for process in members:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(members, timeout=patient(_KILLED_S))
    _reap(service.pid)
    record_path(name).unlink(missing_ok=True)
    return bool(members)


def last_lines(path: Path, count: int = _LAST_LINES) -> str:
    """Return the end of a log, or a word that there is none."""
    if not path.is_file():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


def require_alive(service: Service) -> None:
    """Raise ServiceError with the end of its log if a service has died."""
    _reap(service.pid)
    if _leader(service) is None:
        raise ServiceError(
            f"{service.name} stopped while starting",
            value=last_lines(Path(service.log)),
            next_step=f"see {service.log}",
        )


def choose_port(variable: str, taken: Sequence[int | None] = ()) -> int:
    """Return the port that an environment variable gives, else a free one on loopback."""
    given = os.environ.get(variable)
    for _ in range(100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", int(given or 0)))
            except OSError as error:
                raise ServiceError(
                    "the port is taken", value=f"{variable}={given}", next_step="give another, or none for a free one"
                ) from error
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
    raise ServiceError("no free port was found", value=variable)


@contextmanager
def services_lock() -> Iterator[None]:
    """Let one ``up``, ``down`` or start at a time through; the lock dies with its process."""
    folder = settings().work / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_any(name: str) -> Service | None:
    try:
        return Service(**json.loads(record_path(name).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _leader(service: Service) -> psutil.Process | None:
    try:
        process = psutil.Process(service.pid)
        same = abs(process.create_time() - service.started) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _members(service: Service) -> list[psutil.Process]:
    """Return leader, descendants and the rest of its session, children that lost their parents included."""
    leader = _leader(service)
    found = _session(service)
    if leader:
        with suppress(psutil.NoSuchProcess):
            found += [leader, *leader.children(recursive=True)]
    return list({process.pid: process for process in found}.values())


def _session(service: Service) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["create_time"]):
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            # a pid is not given again while its session lives; the start time guards against a later session
            if os.getsid(process.pid) == service.pid and process.info["create_time"] >= service.started - 1.0:
                found.append(process)
    return found


def _reap(pid: int) -> None:
    """Collect the exit status where this very process was the parent: a dead child would stay as a zombie."""
    child = _CHILDREN.get(pid)
    if child is None:
        return
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout=0.05)
        del _CHILDREN[pid]
