"""The services of a work folder: started in their own sessions, found by their records, stopped completely."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ecclip.atomic import canonical_json, sha256_bytes, write_atomic
from ecclip.core.configuration import patient, settings
from ecclip.core.identity import find_process, folder_of, started_at, works_in
from ecclip.core.log import get_logger
from ecclip.core.private import private_file
from ecclip.core.services.launcher import __file__ as _LAUNCHER
from ecclip.core.services.launcher import variable
from ecclip.core.services.shared_memory import find_shared_memory, remove_shared_memory
from ecclip.errors import ServiceError

_KILLED_S = 10.0  # for the system to end killed processes; by judgment
_POLL_S = 0.05  # between two checks
_LAST_LINES = 15  # of a log in a message


@dataclass(frozen=True, kw_only=True)
class Service:
    """The record ``run/<name>.json``: the leader of the service's session, its start time, and where it listens.

    ``shared_memory`` is the prefix of the names of its regions in /dev/shm, None where it has none. ``place`` is a
    digest of the path at which its workspace lay when it was started: a path is not kept, since a workspace may move.
    """

    name: str
    pid: int
    started: float
    log: str
    port: int | None = None
    metrics_port: int | None = None
    shared_memory: str | None = None
    place: str = ""

    @property
    def address(self) -> str:
        """host:port on which it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def metrics_address(self) -> str:
        """host:port of its metrics."""
        return f"127.0.0.1:{self.metrics_port}"

    def is_running(self) -> bool:
        """Whether this very process (not a later one with its pid) runs."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # reap it if it was a child of this process
        return find_process(self.pid, self.started) is not None

    def require_alive(self) -> None:
        """Raise ServiceError with the end of its log if it has died."""
        if not self.is_running():
            end, step = log_end(Path(self.log)), f"see {self.log}"
            raise ServiceError(f"{self.name} stopped while starting", value=end, next_step=step)

    def cpu_s(self) -> float:
        """Return the processor time, in seconds, that it and its living children have used so far."""
        used = 0.0
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(self.pid)
            for one in (leader, *leader.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    used += sum(one.cpu_times()[:2])
        return used

    def remains(self) -> list[str]:
        """Return what is left of it: processes and shared memory; empty after a stop."""
        processes = [f"process {one.pid}" for one in _members(self)]
        return processes + [str(region) for region in find_shared_memory(self.shared_memory)]


class Services:
    """The services of one work folder (this workspace's by default): records in run/, output in logs/."""

    def __init__(self, work: Path | None = None) -> None:
        given = work or settings().work
        self.workspace, self.work = given.parent.resolve(), given.resolve()

    def log_path(self, name: str) -> Path:
        """Return where a service's output goes."""
        return self.work / "logs" / f"{name}.log"

    def record_path(self, name: str) -> Path:
        """Return where a service's record lies."""
        return self.work / "run" / f"{name}.json"

    def last(self, name: str) -> Service | None:
        """Return the service last started under a name and not stopped since; it may have died, or be another's."""
        try:
            record = json.loads(self.record_path(name).read_text())
            return Service(**{**record, "log": str(self.log_path(name))})
        except (OSError, ValueError, TypeError):
            return None

    def find(self, name: str) -> Service | None:
        """Return a service if its process lives and serves this very workspace where it lies now, else None."""
        service = self.last(name)
        return service if service is not None and service.is_running() and not self.why_unusable(service) else None

    def why_unusable(self, service: Service) -> str:
        """Return why a running service is of no use here, in words, or an empty text.

        A copied workspace has the records of the original's services; those of a moved one write to where it lay.
        """
        leader = find_process(service.pid, service.started)
        if leader is None:
            return ""
        if not works_in(leader, self.workspace):
            return f"it serves {folder_of(leader)}, of which this workspace is a copy"
        if service.place not in ("", self._place()):
            return "it was started where this workspace lay before: make up starts it here"
        return ""

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        port: int | None = None,
        metrics_port: int | None = None,
        shared_memory: str | None = None,
        hidden: Sequence[str] = (),
        keep_log: bool = False,
    ) -> Service:
        """Start a command in its own session, in the workspace's folder, and write its record.

        What still runs of an earlier one of that name is stopped.

        Args:
            name: of the record and the log.
            command: program and arguments; each ``PLACEHOLDER`` stands for a secret that no other user can read.
            environment: of the command; nothing else is inherited.
            port: on 127.0.0.1, for the record; ``metrics_port`` likewise.
            shared_memory: prefix of the names of its regions in /dev/shm, which are removed with it.
            hidden: the secrets, in the order of their placeholders.
            keep_log: append to the log of its predecessor.

        Raises:
            ServiceError: it cannot be started.
        """
        self.stop(name)
        log = self.log_path(name)
        if not keep_log or not log.exists():
            private_file(log).close()
        secrets = {variable(number): secret for number, secret in enumerate(hidden)}
        pid, started = _launch(command, {**environment, **secrets}, log, self.workspace)
        service = Service(
            name=name,
            pid=pid,
            started=started,
            log=str(log),
            port=port,
            metrics_port=metrics_port,
            shared_memory=shared_memory,
            place=self._place(),
        )
        record = {field: value for field, value in asdict(service).items() if field != "log"}
        write_atomic(self.record_path(name), canonical_json(record), mode=0o600)
        return service

    def stop(self, name: str, grace_s: float = 5.0) -> bool:
        """Stop a service and everything that it started; return whether anything was alive.

        The leader gets SIGTERM first; what is left of its session after ``grace_s`` is killed, orphaned children
        included, and its shared memory is removed. The service of another workspace, of which this one is a copy, is
        left alone.

        Raises:
            ServiceError: a process survives SIGKILL.
        """
        service = self.last(name)
        if service is None:
            return False
        members = _members(service)
        if members and not any(works_in(one, self.workspace) for one in members):
            self.record_path(name).unlink(missing_ok=True)
            return False
        return self.end(service, grace_s)

    def end(self, service: Service, grace_s: float = 5.0) -> bool:
        """Stop this very service, as :meth:`stop` does, even if its workspace is no more.

        Raises:
            ServiceError: a process survives SIGKILL.
        """
        members = _members(service)
        leader = find_process(service.pid, service.started)
        if leader is not None:
            with suppress(psutil.NoSuchProcess):
                leader.terminate()
            _wait_gone([leader], grace_s)
        members = list({one.pid: one for one in (*members, *_members(service))}.values())
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        left = _wait_gone(members, patient(_KILLED_S))
        if left:
            raise ServiceError(
                f"{service.name} cannot be stopped", value=[one.pid for one in left], limit="SIGKILL",
                next_step="see what holds these processes (ps -o pid,stat,wchan), then run again",
            )  # fmt: skip
        if members or service.place in ("", self._place()):  # not by the copied record of a service that has ended
            remove_shared_memory(service.shared_memory)
        self.record_path(service.name).unlink(missing_ok=True)
        return bool(members)

    def _place(self) -> str:
        return sha256_bytes(os.fsencode(self.work))[:16]


def log_end(path: Path, lines: int = _LAST_LINES) -> str:
    """Return the last lines of a log, or ``(no log)``."""
    if not path.is_file():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _launch(command: Sequence[str], environment: dict[str, str], log: Path, folder: Path) -> tuple[int, float]:
    done = subprocess.run(
        [sys.executable, "-I", _LAUNCHER, str(log), *command],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.strip()[-300:]
        raise ServiceError(
            "a service cannot be started", value=f"{command[0]}: {reason}", next_step="fix what its output says"
        )
    pid, *visible = done.stdout.split()
    if visible:
        get_logger().warning("other users of this machine can read the secret on a service's command line", pid=pid)
    try:
        return int(pid), started_at(int(pid))
    except psutil.NoSuchProcess as error:
        raise ServiceError(
            f"{command[0]} stopped while starting", value=log_end(log), next_step=f"see {log}"
        ) from error


def _members(service: Service) -> list[psutil.Process]:
    """Return leader, descendants and the rest of its session, orphaned children included."""
    found = _session(service)
    leader = find_process(service.pid, service.started)
    if leader is not None:
        with suppress(psutil.NoSuchProcess):
            found += [leader, *leader.children(recursive=True)]
    return list({process.pid: process for process in found if _lives(process)}.values())


def _session(service: Service) -> list[psutil.Process]:
    """Return the living processes of a service's session; none if its id belongs to a later session.

    A pid is not reused while its session lives: a leader with another start time, or from another boot, means that
    the service's own session is gone.
    """
    with suppress(psutil.NoSuchProcess):
        if abs(started_at(service.pid) - service.started) >= 1.0:
            return []
    if service.started < psutil.boot_time() - 1.0:
        return []
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == service.pid and process.create_time() >= service.started - 1.0:
                found.append(process)
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_gone(processes: Iterable[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Wait until all processes have ended, at most ``limit_s`` seconds; return the others. Zombies have ended."""
    deadline = time.monotonic() + limit_s
    left = [process for process in processes if _lives(process)]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [process for process in left if _lives(process)]
    return left
