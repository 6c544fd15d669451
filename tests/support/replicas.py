"""A second real server of a model repository: started as the embedded one was, unsupervised, with nothing loaded."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from waiting import wait_ended, wait_until

from ecclip.core.services import PLACEHOLDER, Service, Services, choose_port
from ecclip.serving import EmbeddedServer
from ecclip.serving.server.control import Control, restricted_protocol

_NAME = "replica"


class Replica:
    """A server as an orchestrator runs it: it comes up empty, and stays where it was when it is killed."""

    def __init__(self, work: Path, first: EmbeddedServer) -> None:
        """``first`` runs; the replica reads its repository and requires its key."""
        running = first.attach()
        assert running is not None
        self._services, self._prefix = Services(work), f"triton_python_backend_shm_region_{os.getpid():08x}_"
        self._ports = [choose_port(str(work), which) for which in (0, 1)]
        self._key = first.repository.control_key() or ""
        leader = psutil.Process(running.pid)
        self._environment, changed = leader.environ(), dict(zip(("grpc", "metrics"), self._ports, strict=True))
        words = [re.sub(r"(?<=shm-region-prefix-name=).*", self._prefix, word) for word in leader.cmdline()]
        for which, port in changed.items():
            words = [f"--{which}-port={port}" if word.startswith(f"--{which}-port=") else word for word in words]
        assert PLACEHOLDER in words
        self._command = words

    def start(self) -> str:
        """Start it unless it runs, and return its address once it answers."""
        service = self._services.find(_NAME) or self._services.start(
            _NAME, self._command, self._environment, port=self._ports[0], metrics_port=self._ports[1],
            shared_memory=self._prefix, hidden=[restricted_protocol(self._key)], keep_log=True,
        )  # fmt: skip
        wait_until(lambda: self._is_live(service), "the replica to come up")
        return service.address

    def kill(self) -> None:
        """Kill it without a word, and its models' processes with it, as the end of a container does."""
        service, stubs = self._services.find(_NAME), self.stubs()
        assert service is not None
        os.kill(service.pid, signal.SIGKILL)
        for stub in stubs:
            with suppress(psutil.NoSuchProcess):
                stub.kill()
        wait_ended(stubs, "the processes of its models")

    def stubs(self) -> list[psutil.Process]:
        """Return the processes of its models."""
        service = self._services.find(_NAME)
        return [] if service is None else psutil.Process(service.pid).children(recursive=True)

    def stop(self) -> None:
        """End it completely."""
        self._services.stop(_NAME)

    @staticmethod
    def _is_live(service: Service) -> bool:
        service.require_alive()
        with Control(service.address) as control:
            return control.is_live()


@contextmanager
def replica(work: Path, first: EmbeddedServer) -> Iterator[Replica]:
    """Yield a running replica; nothing remains afterwards."""
    second = Replica(work, first)
    second.start()
    try:
        yield second
    finally:
        second.stop()
