"""The embedded Triton server: started, found, supervised and stopped."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import threading
import time
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, TypeVar

from ecclip.core import ConfigError, IntegrityError, ServiceError, get_logger, held_folder, locked, patient, settings
from ecclip.core.services import PLACEHOLDER, Service, Services, choose_port, log_end, supervise
from ecclip.serving.deploy.activation import probe, reconcile
from ecclip.serving.deploy.platforms import ENTRY
from ecclip.serving.deploy.repository import Repository
from ecclip.serving.server.access import tls_arguments, token_arguments
from ecclip.serving.server.control import Control, restricted_protocol

_NAME = "triton"
_START_TIMEOUT_S = 60.0  # several times an idle machine; by judgment
_STOP_TIMEOUT_S = 25.0  # more than _EXIT_TIMEOUT_S, which Triton itself observes
_HANGING_TIMEOUT_S = 5.0  # for a server that hangs; by judgment
_DRAIN_TIMEOUT_S = 5.0  # for pending requests; by judgment
_EXIT_TIMEOUT_S = 20  # of Triton's --exit-timeout-secs; by judgment
_LOCK_WAIT_S = 600.0  # a start: the server's, and two loads of two minutes at most
# a server that hangs or was stopped uses almost no processor time; one with work uses more on any machine; by judgment
_SILENCE_S, _BUSY_SHARE = 60.0, 0.02
_LONGEST_PAUSE_S = 30.0  # between two restarts; by judgment
# inherited: place, language and time, and what selects kernels, threads and GPUs; the rest could misdirect its Python
_INHERITED = ("HOME", "LANG", "LC_", "TMPDIR", "TZ", "OMP_", "OPENBLAS_", "MKL_", "CUDA_", "NVIDIA_")

_Server = TypeVar("_Server", Service, Service | None)


class EmbeddedServer:
    """One ``tritonserver`` of a work folder: python backend, gRPC on the loopback address, models loaded explicitly.

    It runs in its own session and outlives its starter; other processes find it by ``run/triton.json``.
    """

    def __init__(
        self, work: Path | None = None, triton_home: Path | None = None, serving_python: Path | None = None
    ) -> None:
        self.work = (work or settings().work).resolve()
        environments = settings().work / "env"
        self.home = (triton_home or settings().triton_home or environments / "triton").resolve()
        # not resolved: the link inside a virtual environment is what makes it one
        self.python = serving_python or settings().serving_python or environments / "serving" / "bin" / "python"
        self.repository = Repository(self.work / "model_repository")
        self._services = Services(work)
        self.log = self._services.log_path(_NAME)
        self._seen: dict[int, Service] = {}  # by pid: what is ended where no record says any more what runs

    def attach(self) -> Service | None:
        """Return the server of this work folder if it runs, else None."""
        return self._remembered(self._services.find(_NAME))

    @property
    def address(self) -> str:
        """host:port of the running server's gRPC port.

        Raises:
            ServiceError: it does not run.
        """
        process = self.attach()
        if process is None:
            raise ServiceError("the embedded Triton server does not run", value=self.work, next_step="ecclip up")
        return process.address

    def start(self) -> Service:
        """Return the running server, started if necessary; the version in live.json is ready and has answered then.

        Raises:
            ConfigError: the Triton tree or the serving environment is missing or unfit.
            ServiceError: it did not come up, or its live version does not answer.
            IntegrityError: the live version's files are not what was staged.
        """
        with self._lock():
            process = self.attach()
            if process is not None and self._is_healthy(process):
                return process
            if process is not None:
                get_logger().warning("the Triton server does not answer and is restarted", pid=process.pid)
            self._end(drain=False)
            process = self._remembered(self._spawn())
            try:
                self._wait_live(process)
                with self._control(process) as control, self.repository.lock():
                    reconcile(control, self.repository)
            except BaseException:
                self._end(drain=False)
                raise
            get_logger().info("the Triton server is up", address=process.address, pid=process.pid)
            return process

    def _remembered(self, server: _Server) -> _Server:
        if server is not None:
            self._seen[server.pid] = server
        return server

    def stop(self) -> bool:
        """Let pending requests finish, then end the server completely; return whether it ran."""
        with self._lock():
            return self._end(drain=True)

    def supervise(self, stopped: threading.Event, every_s: float = 2.0) -> bool:
        """Restart the server whenever it is gone, broken or hangs, until ``stopped`` is set.

        Errors do not end the supervision: they are logged with the next step, and what answers goes on answering. A
        workspace that is moved does end it, and nothing is written where it lay; its server goes on answering until
        ``up`` starts it at the new place. That of a workspace that is removed is ended, as nothing could find it.
        Returns whether the workspace is where it was.
        """
        workspace = self._services.workspace
        with held_folder(workspace) as home:

            def ensure() -> None:
                if not home.is_at(workspace):
                    stopped.set()
                    step = "type make up where it lies now"
                    raise ServiceError("the workspace was moved or removed", value=workspace, next_step=step)
                self.start()
                self.repository.live()

            supervise(
                _NAME,
                ensure,
                lambda: self.attach() is not None,
                stopped,
                every_s=every_s,
                longest_pause_s=_LONGEST_PAUSE_S,
            )
            if home.is_removed():
                for server in self._seen.values():
                    self._services.end(server)
            return home.is_at(workspace)

    def _is_healthy(self, process: Service) -> bool:
        """Whether a running server may go on: a silent one may be busy, and is given up only if it hangs."""
        began, used = time.monotonic(), process.cpu_s()
        while process.is_running():
            found = self._probe(process)
            if found != "silent":
                return found == "answers"
            elapsed = time.monotonic() - began
            if elapsed > patient(_SILENCE_S):
                return process.cpu_s() - used > _BUSY_SHARE * elapsed
            time.sleep(0.1)
        return False

    def _probe(self, process: Service) -> Literal["answers", "silent", "broken"]:
        with Control(process.address) as control:
            if not control.is_live():
                return "silent"
            try:
                live = self.repository.live()
            except IntegrityError:
                return "answers"  # what is loaded goes on answering; a new server would not know what to load
            return "answers" if live is None else probe(control, ENTRY, None)

    def _end(self, drain: bool) -> bool:
        process = self.attach()
        if drain and process is not None:
            self._drain(process)
        return self._services.stop(_NAME, patient(_STOP_TIMEOUT_S) if drain else _HANGING_TIMEOUT_S)

    def _drain(self, process: Service) -> None:
        """Wait until no request is pending: requests in flight at SIGTERM would fail."""
        deadline = time.monotonic() + patient(_DRAIN_TIMEOUT_S)
        while time.monotonic() < deadline and _pending(process.metrics_address):
            time.sleep(0.1)

    def _spawn(self) -> Service:
        self.repository.folder.mkdir(parents=True, exist_ok=True)
        grpc = choose_port(str(self.work), 0, "ECCLIP_TRITON_PORT")
        metrics = choose_port(str(self.work), 1)
        secrets = [restricted_protocol(self.repository.new_control_key()), *token_arguments()]
        server = self.home / "pytriton" / "tritonserver"
        command = [
            str(server / "bin" / "tritonserver"),
            f"--model-repository={self.repository.folder}",
            f"--backend-directory={self._backends()}",
            f"--cache-directory={server / 'caches'}",
            f"--backend-config=python,shm-region-prefix-name={self.repository.shared_memory}",
            "--model-control-mode=explicit",
            "--strict-readiness=false",
            "--disable-auto-complete-config",
            f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
            # HTTP crashes on large bodies in this version, and is not needed
            "--allow-http=false",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={grpc}",
            "--reuse-grpc-port=false",
            "--allow-metrics=true",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={metrics}",
            "--log-format=ISO8601",
            *tls_arguments(),
            *(PLACEHOLDER for _ in secrets),
        ]
        return self._services.start(
            _NAME,
            command,
            self._environment(),
            port=grpc,
            metrics_port=metrics,
            shared_memory=self.repository.shared_memory,
            hidden=secrets,
            keep_log=True,  # of its predecessor, which may have crashed
        )

    def _control(self, process: Service) -> Control:
        return Control(process.address, self.repository.control_key())

    def _wait_live(self, process: Service) -> None:
        deadline = time.monotonic() + patient(_START_TIMEOUT_S)
        with Control(process.address) as control:
            while not control.is_live():
                if not process.is_running():
                    raise ServiceError(
                        "the Triton server stopped while starting", value=log_end(self.log), next_step=f"see {self.log}"
                    )
                if time.monotonic() > deadline:
                    raise ServiceError(
                        "the Triton server does not come up",
                        value=log_end(self.log),
                        limit=f"{patient(_START_TIMEOUT_S):g} s",
                        next_step=f"see {self.log}; on a slow machine set ECCLIP_PATIENCE",
                    )
                time.sleep(0.1)

    def _backends(self) -> Path:
        """Return a backend folder with the python backend and its stub side by side, as the server requires."""
        tree = self.home / "pytriton" / "tritonserver"
        version, _, numpy = _interpreter(self.python)
        if int(numpy.split(".")[0]) >= 2:
            raise ConfigError("the serving environment needs numpy < 2", value=numpy, next_step="make setup")
        stub = tree / "python_backend_stubs" / version / "triton_python_backend_stub"
        sources = [*(tree / "backends" / "python").glob("*"), stub]
        if not stub.is_file() or len(sources) < 2:
            raise ConfigError("the Triton tree has no python backend", value=stub, next_step="make setup")
        folder = self.work / "run" / "triton_backends"
        (folder / "python").mkdir(parents=True, exist_ok=True)
        for source in sources:
            link = folder / "python" / source.name
            if not link.is_symlink() or link.readlink() != source:
                link.unlink(missing_ok=True)
                link.symlink_to(source)
        return folder

    def _environment(self) -> dict[str, str]:
        _, library, _ = _interpreter(self.python)
        path = f"{self.python.parent}:{os.environ.get('PATH', os.defpath)}"
        libraries = ":".join(filter(None, (library, os.environ.get("LD_LIBRARY_PATH"))))
        kept = {name: value for name, value in os.environ.items() if name.startswith(_INHERITED)}
        return (
            {"OMP_NUM_THREADS": "1"}
            | kept
            | {
                "PATH": path,
                "LD_LIBRARY_PATH": libraries,
                "PYTHONNOUSERSITE": "1",
                "TOKENIZERS_PARALLELISM": "false",
            }
        )

    def _lock(self) -> AbstractContextManager[None]:
        return locked(self.work / "run" / ".triton.lock", "the embedded Triton server", _LOCK_WAIT_S)


def embedded_address() -> str:
    """Return host:port of this workspace's running embedded server.

    Raises:
        ServiceError: it does not run.
    """
    return EmbeddedServer().address


@functools.lru_cache(maxsize=8)
def _interpreter(python: Path) -> tuple[str, str, str]:
    """Return version (3.11), folder of libpython and numpy version of the serving environment."""
    ask = (
        "import json, pathlib, sys, sysconfig, numpy, onnxruntime, tokenizers, PIL;"
        "library = sysconfig.get_config_var('INSTSONAME');"
        "folders = [sysconfig.get_config_var('LIBDIR'), sys.base_prefix + '/lib'];"
        "found = [folder for folder in folders if (pathlib.Path(folder) / library).is_file()];"
        "print(json.dumps(['%d.%d' % sys.version_info[:2], (found or folders)[0], numpy.__version__]))"
    )
    try:
        done = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True, timeout=patient(60))
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        raise ConfigError(
            "the serving environment cannot be used", value=f"{python}: {detail.strip()[-300:]}", next_step="make setup"
        ) from error
    version, library, numpy = json.loads(done.stdout)
    return str(version), str(library), str(numpy)


def _pending(metrics_address: str) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=patient(2)) as page,
    ):
        for line in page.read().decode().splitlines():
            if line.startswith("nv_inference_pending_request_count{") and float(line.rsplit(" ", 1)[1]) > 0:
                return True
    return False
