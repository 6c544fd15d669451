"""A real MLflow server in processes of its own, and a way to it that can be closed, slowed down or broken."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from registries import empty_store
from waiting import HANG_S, wait_until

Mode = Literal["open", "slow", "errors"]
_DELAY_S = 5.0
_METHODS = (b"GET ", b"POST ", b"PATCH ", b"PUT ")
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Way:
    """A TCP proxy on loopback in front of a server; what it does to the requests can be changed at any time."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "open"
        self._held: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def set(self, mode: Mode) -> None:
        """Let requests through, hold each back for five seconds, or answer each with status 500."""
        self._mode = mode
        self._drop()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._drop()

    def _drop(self) -> None:
        for connection in list(self._held):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self._mode == "errors":
                client.recv(1 << 20)
                client.sendall(_ERROR)
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                self._held |= {client, server}
                answers = threading.Thread(target=self._copy_answers, args=(server, client), daemon=True)
                answers.start()
                self._copy_requests(client, server)
                answers.join()
                self._held -= {client, server}

    def _copy_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if self._mode == "slow" and data.startswith(_METHODS):  # a request may come in several pieces
                    time.sleep(_DELAY_S)
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _copy_answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


class Server:
    """The server's processes; ``uri`` leads through the way, ``direct`` past it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, way: Way) -> None:
        self._process, self.way = process, way
        self.uri, self.direct = f"http://127.0.0.1:{way.port}", f"http://127.0.0.1:{port}"

    def stop_answering(self) -> None:
        """Hang: the processes are stopped, connections are still taken by the kernel."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again, also what was asked meanwhile."""
        os.killpg(self._process.pid, signal.SIGCONT)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """Start a server over the store in ``folder``, an empty one by default, and stop it with all its processes."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mlflow.db").exists():
        shutil.copy(empty_store(), folder / "mlflow.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    way = Way(port)
    hosts = ",".join(f"{host}:{number}" for host in ("127.0.0.1", "localhost") for number in (port, way.port))
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--allowed-hosts", hosts]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    env |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    server = Server(process, port, way)
    try:
        wait_until(lambda: _answers(server) or process.poll() is not None, "MLflow")
        assert process.returncode is None, (folder / "server.log").read_text()[-2000:]
        way.set("open")
        yield server
    finally:
        way.close()
        server.go_on()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(server: Server) -> bool:
    try:
        with _OPENER.open(f"{server.direct}/health", timeout=HANG_S):
            return True
    except OSError:
        return False
