"""SIGKILL at each named step of a deployment: old or new answers, whole, and the next call ends in one state."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from registries import MLFLOW_WARNINGS, Children, make_workspace
from serving_bundles import tiny_bundle
from serving_server import embedded_server, use_serving_environment

from ecclip import release
from ecclip.client import Product, ProductClient
from ecclip.core import digest_of, settings
from ecclip.formats.bundle import lineage_of
from ecclip.serving import Deployment, EmbeddedServer

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

ROOT = Path(__file__).parents[2]
OLD, NEW = "2026-11-01", "2026-11-02"
DEPLOY = [["bless_night", NEW], ["promote_night", NEW]]
ROLL_BACK = [["roll_back"]]
STAGING = ("stage.placed", "stage.recorded")  # of a version that is not there yet
STEPS: dict[str, list[list[str]]] = {
    "bless.loaded": DEPLOY,
    "bless.examined": DEPLOY,
    "switch.graphs": DEPLOY,
    "go_live.switched": DEPLOY,
    "go_live.examined": DEPLOY,
    "go_live.committed": DEPLOY,
    "promote.live": DEPLOY,
    "promote.tagged": DEPLOY,
    "promote.moved": DEPLOY,
    "request.live": ROLL_BACK,
    "rollback.asked": ROLL_BACK,
    "roll_back.switched": ROLL_BACK,
    "roll_back.committed": ROLL_BACK,
}
# one between each two of the places where others see what answers: servers, live.json, registry; and one of a rollback.
# The rest is for the slow suite.
STEPS_AT_ONCE = ("go_live.switched", "go_live.committed", "promote.tagged", "roll_back.switched")
LATER = sorted(STEPS.keys() - {*STEPS_AT_ONCE})
ELSEWHERE = {"prune.forgotten"}  # tests/unit/serving/deploy/test_retention.py


class House:
    """A workspace in which version 1 answers and 2 was passed by the gate, with a real server and a real registry."""

    def __init__(self, workspace: Path, server: EmbeddedServer, children: Children) -> None:
        self.workspace, self.server, self._children = workspace, server, children
        self.deployment = Deployment(server.repository, server.start().address)
        self._registry = workspace / "work" / "mlflow"
        self.keep_state("old")

    def keep_state(self, name: str) -> None:
        """Keep the registry as it is, and which version answers."""
        shutil.copytree(self._registry, self.workspace / name, dirs_exist_ok=True)

    def restore(self, name: str, version: int) -> None:
        """Bring back a registry that was kept, and let a version answer."""
        shutil.copytree(self.workspace / name, self._registry, dirs_exist_ok=True)
        self.deployment.roll_back(version)

    def call(self, calls: list[list[str]], fail_point: str = "") -> dict[str, Any]:
        """Call functions of ``ecclip.release`` in a process of their own, which may be killed at a step."""
        return self.at_once(calls, fail_point=fail_point)[0]

    def at_once(self, *each: list[list[str]], fail_point: str = "") -> list[dict[str, Any]]:
        """Call functions of ``ecclip.release`` in several processes at once."""
        job = {"workspace": str(self.workspace), "call": "release", "with_server": True, "fail_point": fail_point}
        return self._children.run([job | {"args": calls} for calls in each], at_once=True)

    def answering(self) -> int:
        """Return which version answers; the answer is whole."""
        with ProductClient(self.deployment.address) as client:
            answer = client.ask([Product(title="red steel mug")])[0]
        assert answer.error == ""
        return [lineage_of(digest_of(tiny_bundle(number))) for number in (1, 2)].index(answer.lineage) + 1


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, children: Children) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        workspace = make_workspace(tmp_path_factory.mktemp("killed") / "workspace", patch)
        use_serving_environment(patch)
        gate = {"metrics": {"category/both/top1": {"floor": 0.0}}}
        (workspace / "params.yaml").write_text(yaml.safe_dump({"gate": gate}))
        server = embedded_server(workspace / "work")
        try:
            for number, night in ((1, OLD), (2, NEW)):
                shutil.copytree(tiny_bundle(number), workspace / "work" / "nights" / night / "bundle")
                release.register_night(night)
                release.gate_night(night)
                if night == OLD:
                    release.bless_night(night)
                    release.promote_night(night)
            yield House(workspace, server, children)
        finally:
            server.stop()
    settings.cache_clear()


@pytest.mark.fault(18)
def test_every_step_that_a_deployment_names_is_killed_by_a_test() -> None:
    named = {
        name
        for path in (ROOT / "ecclip").rglob("*.py")
        for name in re.findall(r'fail_point\("([\w.]+)"\)', path.read_text())
    }
    assert named == {*STAGING, *STEPS, *ELSEWHERE}


@pytest.mark.fault(18)
def test_staging_that_is_killed_again_and_again_is_completed(house: House) -> None:
    house.restore("old", 1)
    house.server.repository.forget(2)
    for step in STAGING:
        assert house.call(DEPLOY, step) == {"signal": signal.SIGKILL}, step
        assert house.answering() == 1
    assert house.call(DEPLOY)["promoted"]
    assert house.answering() == 2


@pytest.mark.fault(18)
@pytest.mark.parametrize("step", [*STEPS_AT_ONCE, *(pytest.param(step, marks=pytest.mark.slow) for step in LATER)])
def test_old_or_new_answers_after_a_kill_and_the_next_call_ends_in_one_state(house: House, step: str) -> None:
    house.restore("old", 1)
    calls, wanted = STEPS[step], 2
    if calls == ROLL_BACK:
        assert house.call(DEPLOY)["promoted"]
        wanted = 1
    assert house.call(calls, step) == {"signal": signal.SIGKILL}
    assert house.answering() in (1, 2)
    again = DEPLOY if calls == DEPLOY else [["reconcile"]]
    done = house.call([*again, ["reconcile"]])
    assert (done["champion"], done["version"], done["done"]) == (str(wanted),) * 2 + ("",), done
    assert house.answering() == wanted
    live = house.server.repository.live()
    assert live is not None
    assert live.version == wanted


@pytest.mark.fault(19)
def test_deployments_and_a_rollback_at_once_go_one_after_the_other(house: House) -> None:
    house.restore("old", 1)
    done = house.at_once(DEPLOY, DEPLOY, [["reconcile"]])
    assert [one.get("promoted") for one in done[:2]] == [True, True], done
    assert house.call([["reconcile"]])["done"] == ""
    assert house.answering() == 2
    rolled_back, deployed = house.at_once(ROLL_BACK, DEPLOY)
    assert rolled_back["version"] == "1"
    # before the rollback it answers already; after it, its night does not bring it back
    assert deployed.get("promoted") or deployed["error"] == "GateError", deployed
    assert house.call([["reconcile"]])["done"] == ""
    assert house.answering() == 1


@pytest.mark.fault(24)
def test_a_registry_that_is_damaged_changes_no_answer(house: House) -> None:
    house.restore("old", 1)
    (house.workspace / "work" / "mlflow" / "mlflow.db").write_bytes(b"no database" * 999)
    assert house.call([["reconcile"]])["error"] == "ServiceError"
    assert house.answering() == 1
    house.restore("old", 1)
    assert house.call([["reconcile"]])["done"] == ""
