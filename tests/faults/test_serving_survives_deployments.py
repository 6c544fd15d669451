"""Going live, rolling back and being killed in between: clients always get one complete version, the committed one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from serving_bundles import sealed, tiny_bundle
from serving_server import live_server
from waiting import wait_until

from ecclip.client import ClientError, ClientOptions, DeadlineExceeded, Product, ProductClient, Unavailable
from ecclip.core import GateError, IntegrityError, digest_of
from ecclip.serving import DeployConfig, Deployment, EmbeddedServer, Repository
from ecclip.serving.deploy.platforms import CANDIDATE

pytestmark = pytest.mark.heavy

QUESTION = Product(title="red steel mug")
_PAUSE_S = 0.01  # of a client between its questions: a change of version sees many, and has a processor to itself
Server = tuple[EmbeddedServer, Deployment]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with live_server(tmp_path_factory.mktemp("deployments")) as (server, deployment):
        yield server, deployment


@pytest.fixture
def server(started: Server) -> Server:
    """Version 1 is live, version 2 lies beside it, the server runs."""
    embedded, deployment = started
    deployment.addresses = (embedded.start().address,)
    embedded.repository.stage(tiny_bundle(1), 2)
    deployment.roll_back(1)
    return embedded, deployment


def _lineage(version: int) -> str:
    return digest_of(tiny_bundle(version - 1))[:16]


def _answering(deployment: Deployment) -> str:
    with ProductClient(deployment.address) as client:
        answer = client.ask([QUESTION])[0]
    assert answer.error == ""
    return answer.lineage


def _answers(embedded: EmbeddedServer, deployment: Deployment) -> bool:
    deployment.addresses = (embedded.start().address,)
    try:
        return _answering(deployment) == _lineage(1)
    except Unavailable:
        return False


@contextmanager
def _traffic(address: str) -> Iterator[Counter[str]]:
    """Ask from three clients again and again; count answers by lineage and failures by name."""
    counts: Counter[str] = Counter()
    stopped = threading.Event()

    def ask() -> None:
        with ProductClient(address, ClientOptions(retries=2)) as client:
            while not stopped.wait(_PAUSE_S):
                try:
                    counts.update(
                        one.lineage if not one.error else "failed" for one in client.ask([QUESTION, QUESTION])
                    )
                except ClientError as error:
                    counts[f"failed: {error}"] += 1

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


@pytest.mark.fault(25)
def test_going_live_and_rolling_back_under_traffic_fails_no_question(server: Server) -> None:
    _, deployment = server
    with _traffic(deployment.address) as counts:
        assert deployment.bless(2).passed
        assert set(counts) == {_lineage(1)}
        deployment.go_live(2)
        assert _answering(deployment) == _lineage(2)
        before = counts[_lineage(1)]
        deployment.roll_back(1)
        assert _answering(deployment) == _lineage(1)
        wait_until(lambda: counts[_lineage(1)] > before, "an answer of the old version to the traffic")
    assert set(counts) == {_lineage(1), _lineage(2)}, counts
    live = deployment.repository.live()
    assert live is not None
    assert (live.version, live.previous) == (1, 2)


def test_going_live_again_is_no_change(server: Server) -> None:
    _, deployment = server
    before = deployment.repository.live()
    deployment.go_live(1)
    assert deployment.repository.live() == before


def test_a_version_that_was_never_examined_does_not_go_live(server: Server) -> None:
    embedded, deployment = server
    embedded.repository.stage(tiny_bundle(1), 3)
    with pytest.raises(GateError, match="not blessed"):
        deployment.go_live(3)
    assert _answering(deployment) == _lineage(1)


@pytest.mark.fault(21)
def test_a_damaged_version_is_refused_before_it_is_loaded(server: Server) -> None:
    embedded, deployment = server
    embedded.repository.stage(tiny_bundle(1), 4)
    graph = embedded.repository.folder / "image_tower" / "4" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    before = embedded.log.stat().st_size
    with pytest.raises(IntegrityError, match=r"image_tower/4/model\.onnx"):
        deployment.bless(4)
    assert ":4" not in embedded.log.read_bytes()[before:].decode(errors="replace")
    assert _answering(deployment) == _lineage(1)


@pytest.mark.fault(22)
@pytest.mark.parametrize("whole", [False, True])
def test_swapped_weights_are_not_blessed_and_the_live_version_answers_on(
    server: Server, tmp_path: Path, whole: bool
) -> None:
    embedded, deployment = server
    version = 6 if whole else 5
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(0), bundle)
    # with its own known answers beside it, only the golden listings can tell
    for name in ("onnx/image_tower.onnx", *(["known/image_tower.npz"] if whole else [])):
        shutil.copyfile(tiny_bundle(1) / name, bundle / name)
    embedded.repository.stage(sealed(bundle), version)
    live = deployment.repository.live()
    blessing = deployment.bless(version)
    assert not blessing.passed
    assert any("embedding differs" in one if whole else "did not load" in one for one in blessing.reasons)
    with pytest.raises(GateError, match="not blessed"):
        deployment.go_live(version)
    assert deployment.repository.live() == live
    assert _answering(deployment) == _lineage(1)


@pytest.mark.fault(23)
def test_a_version_that_is_too_slow_is_not_blessed(server: Server) -> None:
    _, deployment = server
    strict = Deployment(
        deployment.repository, deployment.address, cfg=DeployConfig.model_validate({"budget": {"max_latency_ms": 0.01}})
    )
    blessing = strict.bless(2)
    assert not blessing.passed
    assert "one listing takes" in blessing.reasons[0]
    assert _answering(deployment) == _lineage(1)


@pytest.mark.fault(22)
def test_an_answer_that_changed_after_the_blessing_is_taken_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, deployment = server
    assert deployment.bless(2).passed
    monkeypatch.setattr(Repository, "golden_path", lambda self, _: self.folder / ".state" / "golden-1.parquet")
    live = deployment.repository.live()
    with pytest.raises(GateError, match="golden answers"):
        deployment.go_live(2)
    assert deployment.repository.live() == live
    assert _answering(deployment) == _lineage(1)


@pytest.mark.fault(20)
@pytest.mark.fault(35)
def test_a_server_killed_while_it_loads_serves_the_committed_version_again(server: Server) -> None:
    embedded, deployment = server
    assert deployment.bless(2).passed
    deployment.go_live(2)
    process = embedded.attach()
    assert process is not None
    stubs = psutil.Process(process.pid).children(recursive=True)
    assert stubs
    before = embedded.log.stat().st_size
    blessing = threading.Thread(target=_try_to_bless, args=(deployment, 1))
    blessing.start()
    loading = f"loading: {CANDIDATE}:1".encode()
    wait_until(lambda: loading in embedded.log.read_bytes()[before:], "the server to load the candidate")
    os.kill(process.pid, signal.SIGKILL)
    blessing.join()
    wait_until(lambda: embedded.attach() is None, "the end of the killed server")
    again = embedded.start()
    assert again.pid != process.pid
    assert again.address == process.address
    assert _answering(deployment) == _lineage(2)
    assert not [one for one in stubs if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    regions = list(Path("/dev/shm").glob(f"{process.shared_memory}*"))
    held = {one.path for stub in psutil.Process(again.pid).children(recursive=True) for one in stub.memory_maps()}
    assert {str(region) for region in regions} <= held


def _try_to_bless(deployment: Deployment, version: int) -> None:
    with contextlib.suppress(Exception):  # the server is killed under it; how that shows is not the point
        deployment.bless(version)


@pytest.mark.fault(20)
def test_a_server_that_hangs_makes_deadlines_fire_and_answers_afterwards(server: Server) -> None:
    embedded, deployment = server
    process = embedded.attach()
    assert process is not None
    assert _answering(deployment) == _lineage(1)
    with ProductClient(deployment.address, ClientOptions(timeout_s=0.5)) as client:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(DeadlineExceeded):  # its own: nobody else would answer before the server goes on
                client.ask([QUESTION])
        finally:
            os.kill(process.pid, signal.SIGCONT)
    # a question that its client gave up can end this version of the server a moment later: the next start fixes that
    wait_until(lambda: _answers(embedded, deployment), "an answer")
    embedded.stop()


def test_a_killed_stub_is_noticed_and_the_server_started_again(server: Server) -> None:
    embedded, deployment = server
    process = embedded.attach()
    assert process is not None
    for stub in psutil.Process(process.pid).children(recursive=True):
        stub.kill()
    stopped = threading.Event()
    watch = threading.Thread(target=embedded.supervise, args=(stopped, 0.1))
    watch.start()
    try:
        wait_until(lambda: (embedded.attach() or process).pid != process.pid, "a new server")
    finally:
        stopped.set()
        watch.join()
    again = embedded.start()
    assert again.pid != process.pid
    assert again.address == process.address
    assert _answering(deployment) == _lineage(1)


@pytest.mark.fault(25)
def test_the_version_before_stays_loaded_and_older_ones_leave_server_and_repository(server: Server) -> None:
    embedded, deployment = server
    lean = Deployment(deployment.repository, deployment.address, cfg=DeployConfig(keep=0))
    for version in (2, 8):
        embedded.repository.stage(tiny_bundle(1), version)
        assert lean.bless(version).passed
        lean.go_live(version)
    with deployment.control() as control:
        assert [control.loaded(model) for model in ("image_tower", "text_tower", "product")] == [
            [2, 8], [2, 8], [8],
        ]  # fmt: skip
    assert embedded.repository.versions() == {2, 8}
    deployment.roll_back(2)
    assert _answering(deployment) == _lineage(2)
    embedded.repository.stage(tiny_bundle(0), 1)
    assert deployment.bless(1).passed


@pytest.mark.fault(21)
def test_a_damaged_live_version_goes_on_answering_blocks_no_new_one_and_is_whole_again(server: Server) -> None:
    embedded, deployment = server
    repository = embedded.repository
    shutil.copytree(tiny_bundle(0), repository.bundles / digest_of(tiny_bundle(0)), dirs_exist_ok=True)
    graph = repository.folder / "image_tower" / "1" / "model.onnx"
    whole = graph.read_bytes()
    replace = graph.with_name("other")
    replace.write_bytes(whole[:-9])
    replace.rename(graph)
    assert _answering(deployment) == _lineage(1)
    repository.stage(tiny_bundle(1), 2)
    assert deployment.bless(2).passed
    assert graph.read_bytes() == whole
    deployment.go_live(2)
    assert _answering(deployment) == _lineage(2)


@pytest.mark.fault(35)
def test_nothing_is_left_of_a_stopped_server(server: Server) -> None:
    embedded, deployment = server
    process = embedded.attach()
    assert process is not None
    children = psutil.Process(process.pid).children(recursive=True)
    assert process.remains()
    embedded.stop()
    assert process.remains() == []
    assert not [one for one in children if one.is_running()]
    assert list(Path("/dev/shm").glob(f"{process.shared_memory}*")) == []
    embedded.stop()
    deployment.addresses = (embedded.start().address,)
    assert _answering(deployment) == _lineage(1)
