"""Several servers answer from one repository: all or none go live, and one that lags behind is brought on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from replicas import Replica, replica
from serving_bundles import tiny_bundle
from serving_server import ENVIRONMENTS, SERVING_PYTHON, live_server
from waiting import wait_until

from ecclip import release
from ecclip.client import ClientError, Product, ProductClient
from ecclip.core import ServiceError, digest_of, settings
from ecclip.local import reconcile_servers
from ecclip.serving import Deployment

pytestmark = pytest.mark.heavy

Both = tuple[Deployment, Replica]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    workspace = tmp_path_factory.mktemp("replicas")
    with live_server(workspace / "work") as (first, alone), replica(tmp_path_factory.mktemp("second"), first) as second:
        first.repository.stage(tiny_bundle(1), 2)
        assert alone.bless(2).passed
        yield Deployment(first.repository, alone.address, second.start()), second


@pytest.fixture
def both(started: Both, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    """Version 1 answers from both servers, as the settings of a workspace name them."""
    deployment, second = started
    environment = {
        "WORKSPACE": str(deployment.repository.folder.parents[1]),
        "TRITON_ADDRESSES": ", ".join(deployment.addresses),
        "TRITON_CONTROL_KEY": deployment.repository.control_key() or "",
        "TRITON_HOME": str(ENVIRONMENTS / "triton"),
        "SERVING_PYTHON": str(SERVING_PYTHON),
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"ECCLIP_{name}", value)
    settings.cache_clear()
    second.start()
    reconcile_servers()
    deployment.roll_back(1)
    yield started
    monkeypatch.undo()
    settings.cache_clear()


def _lineages(deployment: Deployment) -> list[str]:
    """Return what each server answers from: a bundle's lineage, or the name of the error."""
    found = []
    for address in deployment.addresses:
        with ProductClient(address) as client:
            try:
                answer = client.ask([Product(title="red steel mug")])[0]
                found.append(answer.error or answer.lineage)
            except ClientError as error:
                found.append(type(error).__name__)
    return found


def _lineage(version: int) -> str:
    return digest_of(tiny_bundle(version - 1))[:16]


def test_every_server_answers_from_a_new_version_and_from_the_old_one_again(both: Both) -> None:
    deployment, _ = both
    assert _lineages(deployment) == [_lineage(1)] * 2
    deployment.go_live(2)
    assert _lineages(deployment) == [_lineage(2)] * 2
    deployment.roll_back(1)
    assert _lineages(deployment) == [_lineage(1)] * 2
    assert reconcile_servers() == dict.fromkeys(deployment.addresses, "answers from what is live")


@pytest.mark.fault(20)
def test_a_server_that_comes_up_empty_is_found_and_brought_to_what_is_live(both: Both) -> None:
    deployment, second = both
    second.kill()
    with pytest.raises(ServiceError, match=f"{deployment.addresses[1]} does not answer: start it"):
        reconcile_servers()
    second.start()
    assert _lineages(deployment) == [_lineage(1), "NotLoaded"]
    assert f"{deployment.addresses[1]}: serves nothing" in release.state()["state"]
    found = reconcile_servers()
    assert found[deployment.addresses[1]] == "served nothing, and answers from version 1 again"
    assert _lineages(deployment) == [_lineage(1)] * 2


@pytest.mark.fault(20)
def test_a_dead_server_keeps_a_new_version_from_all_and_a_rollback_from_none(both: Both) -> None:
    deployment, second = both
    deployment.go_live(2)
    second.stop()
    deployment.repository.stage(tiny_bundle(0), 3)
    assert deployment.bless(3).passed
    with pytest.raises(ServiceError, match="not every server answers") as refused:
        deployment.go_live(3)
    assert refused.value.value == deployment.addresses[1]
    assert _lineages(deployment) == [_lineage(2), "Unavailable"]
    deployment.roll_back(1)
    assert _lineages(deployment) == [_lineage(1), "Unavailable"]


@pytest.mark.fault(18)
def test_a_kill_between_two_servers_leaves_two_whole_versions_and_the_next_look_ends_in_one(both: Both) -> None:
    deployment, _ = both
    going_live = "from ecclip.serving import go_live; go_live(2)"
    environment = {**os.environ, "ECCLIP_FAIL_POINT": "go_live.switched"}
    assert subprocess.run([sys.executable, "-c", going_live], env=environment).returncode == -signal.SIGKILL
    assert _lineages(deployment) == [_lineage(2), _lineage(1)]
    assert reconcile_servers()[deployment.address] == "served [2], and answers from version 1 again"
    deployment.go_live(2)
    assert _lineages(deployment) == [_lineage(2)] * 2


@pytest.mark.fault(20)
def test_the_watch_beside_a_server_mends_what_comes_up_empty_and_what_broke(both: Both) -> None:
    deployment, second = both
    command = [sys.executable, "-m", "ecclip", "serving", "reconcile", "--watch", "--every", "0.1"]
    with subprocess.Popen(command, env=os.environ.copy(), stderr=subprocess.PIPE) as watch:
        try:
            second.stop()
            second.start()
            wait_until(lambda: _lineages(deployment) == [_lineage(1)] * 2, "the watch to load what is live")
            for stub in second.stubs():
                stub.kill()
            wait_until(lambda: _lineages(deployment) == [_lineage(1)] * 2, "the watch to load it again")
            deployment.go_live(2)
            assert _lineages(deployment) == [_lineage(2)] * 2
        finally:
            watch.send_signal(signal.SIGTERM)
        assert watch.wait() == 0, "it ends when it is told to"
