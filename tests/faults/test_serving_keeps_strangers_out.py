"""Models are loaded by who has the key alone; answers stay open to all. Another user reads neither key nor regions."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import tritonclient.grpc as triton
from serving_server import live_server
from tritonclient._plugin import InferenceServerClientPlugin
from tritonclient.utils import InferenceServerException

from ecclip.client import Product, ProductClient
from ecclip.core import ServiceError
from ecclip.serving import Deployment, EmbeddedServer
from ecclip.serving.server.control import Control

Server = tuple[EmbeddedServer, Deployment]
NOBODY = 65534


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with live_server(tmp_path_factory.mktemp("guarded")) as started:
        yield started


def _answers(server: Server) -> bool:
    with ProductClient(server[1].address) as client:
        return not client.ask([Product(title="red steel mug")])[0].error


_RESTRICTED: dict[str, Callable[[triton.InferenceServerClient], object]] = {
    "load": lambda client: client.load_model("product"),
    "load a file of the asker": lambda client: client.load_model(
        "strange", config='{"backend": "python"}', files={"file:1/model.py": b"raise SystemExit"}
    ),
    "unload": lambda client: client.unload_model("product"),
    "index": lambda client: client.get_model_repository_index(),
    "shared memory": lambda client: client.register_system_shared_memory("strange", "/strange", 64),
    "shared memory status": lambda client: client.get_system_shared_memory_status(),
    "log file": lambda client: client.update_log_settings({"log_verbose_level": 9}),
    "trace file": lambda client: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}),
}


@pytest.mark.fault(43)
@pytest.mark.parametrize("what", list(_RESTRICTED))
@pytest.mark.parametrize("key", [None, "guessed"])
def test_control_without_the_key_is_refused_and_the_answers_go_on(server: Server, what: str, key: str | None) -> None:
    client = triton.InferenceServerClient(server[1].address)
    if key is not None:
        client.register_plugin(_Header(key))
    with pytest.raises(InferenceServerException, match="restricted"):
        _RESTRICTED[what](client)
    client.close()
    assert _answers(server)


class _Header(InferenceServerClientPlugin):
    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: triton.Request) -> None:
        request.headers["triton-grpc-protocol-control-key"] = self._key


@pytest.mark.fault(43)
def test_control_with_the_key_works_and_says_so_without(server: Server) -> None:
    embedded, deployment = server
    with Control(deployment.address, embedded.repository.control_key()) as control:
        assert control.loaded("product") == [1]
    with Control(deployment.address) as control, pytest.raises(ServiceError, match="restricted"):
        control.loaded("product")


@pytest.mark.fault(43)
def test_health_readiness_and_statistics_need_no_key(server: Server) -> None:
    client = triton.InferenceServerClient(server[1].address)
    assert client.is_server_live()
    assert client.is_model_ready("product")
    assert client.get_inference_statistics("product").model_stats
    client.close()


@pytest.mark.fault(43)
def test_a_server_that_is_started_again_has_another_key(server: Server) -> None:
    embedded, deployment = server
    before = embedded.repository.control_key()
    embedded.stop()
    deployment.addresses = (embedded.start().address,)
    assert embedded.repository.control_key() != before
    assert _answers(server)


@pytest.mark.fault(43)
def test_no_command_line_and_no_log_shows_the_key(server: Server) -> None:
    embedded, _ = server
    process, key = embedded.attach(), embedded.repository.control_key()
    assert process is not None
    assert key
    everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(everyone) > 1
    assert not [one for one in everyone if key in " ".join(one.cmdline())]
    assert "(hidden)" in everyone[0].cmdline()
    assert key not in embedded.log.read_text()


@pytest.mark.fault(43)
def test_key_log_record_and_shared_memory_belong_to_the_owner_alone(server: Server) -> None:
    embedded, _ = server
    process = embedded.attach()
    assert process is not None
    regions = list(Path("/dev/shm").glob(f"{process.shared_memory}*"))
    assert regions
    for path in (embedded.repository.folder / ".state" / "control.key", embedded.log, *regions):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.fault(43)
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
def test_another_user_reads_neither_key_nor_environment_nor_shared_memory(server: Server) -> None:
    embedded, _ = server
    process = embedded.attach()
    assert process is not None
    key = embedded.repository.control_key() or ""
    regions = list(Path("/dev/shm").glob(f"{process.shared_memory}*"))
    paths = [embedded.repository.folder / ".state" / "control.key", Path(f"/proc/{process.pid}/environ"), *regions]
    for path in paths:
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "cat", str(path)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode != 0, path
        assert key.encode() not in done.stdout
