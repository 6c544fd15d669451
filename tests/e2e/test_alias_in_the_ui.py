"""A person moves @champion in the MLflow UI, under the services of ``make up``: alias, record and answers agree again.

The moves are the requests that the UI sends. One start of Airflow, MLflow and Triton for all of them.
"""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from registries import MLFLOW_WARNINGS, make_workspace
from serving_bundles import tiny_bundle
from serving_server import use_serving_environment
from waiting import wait_until

from ecclip import registry, release
from ecclip.bench import new_result, serve
from ecclip.bench.answering.sizes import SIZES
from ecclip.client import Product, ProductClient
from ecclip.core import digest_of, settings
from ecclip.formats.bundle import lineage_of
from ecclip.formats.live import read_live
from ecclip.local import AirflowApi, airflow_api, start_services, stop_services

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

ROOT = Path(__file__).parents[2]
SERVICES = ("airflow", "mlflow", "triton")
METRIC = "category/both/top1"
LAST = "2026-11-04"  # the night of version 4
_ENDED = {"success", "failed", "skipped", "upstream_failed"}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class House:
    """The running services, and which bundle each version is."""

    mlflow: str
    triton: str
    airflow: AirflowApi
    lineages: dict[str, str]

    def move(self, version: str) -> None:
        """Move @champion as the UI does."""
        self._ask("POST", "alias", {"name": "ecclip", "alias": "champion", "version": version})

    def alias(self) -> str:
        """Return the version that carries @champion."""
        aliases = self._ask("GET", "get", {"name": "ecclip"})["registered_model"]["aliases"]
        return str({one["alias"]: one["version"] for one in aliases}["champion"])

    def answering(self) -> str:
        """Return the version that answers a question."""
        with ProductClient(self.triton) as client:
            lineage = client.ask([Product(title="red steel mug")])[0].lineage
        return next(version for version, known in self.lineages.items() if known == lineage)

    def agrees_on(self, version: str) -> bool:
        """Say whether alias, record and answers are one version."""
        live = read_live(settings().work / "model_repository")
        if live is None or live.lineage != self.lineages[version]:
            return False
        return (self.alias(), self.answering()) == (version, version)

    def deploy(self, night: str) -> str:
        """Start the deployment of a night in Airflow, and return its run."""
        body = {"logical_date": None, "conf": {"night": night}}
        return str(self.airflow.post("dags/deploy_bundle/dagRuns", body)["dag_run_id"])

    def state(self, run: str, task: str) -> str:
        """Return how far a task of a deployment is."""
        return str(self.airflow.get(f"dags/deploy_bundle/dagRuns/{run}/taskInstances/{task}")["state"])

    def decide(self, run: str, choice: str) -> str:
        """Answer a deployment's question as a person does on Airflow's page; return how the promotion ended.

        Airflow takes an answer that comes before its scheduler has noted that it asks for a failure, and asks again; so
        that a question is answered when it is seen for the second time.
        """
        path, answer = f"dags/deploy_bundle/dagRuns/{run}", {"chosen_options": [choice], "params_input": {}}
        seen: set[int] = set()

        def has_ended() -> bool:
            for asked in self.airflow.get(f"{path}/hitlDetails")["hitl_details"]:
                instance = asked["task_instance"]
                if instance["state"] == "awaiting_input" and not asked["response_received"]:
                    if instance["try_number"] in seen:
                        self.airflow.patch(f"{path}/taskInstances/approve/-1/hitlDetails", answer)
                    seen.add(instance["try_number"])
            return self.state(run, "promote") in _ENDED

        wait_until(has_ended, "the promotion", every_s=2.0)
        return self.state(run, "promote")

    def events(self) -> int:
        """Return how often the watcher of the alias has fired."""
        found = self.airflow.get("assets", name_pattern="champion_request")["assets"][0]
        return int(self.airflow.get("assets/events", asset_id=found["id"])["total_entries"])

    def _ask(self, method: str, path: str, content: dict[str, str]) -> Any:
        url = f"{self.mlflow}/ajax-api/2.0/mlflow/registered-models/{path}"
        url += "" if method == "POST" else f"?{urllib.parse.urlencode(content)}"
        body = json.dumps(content).encode() if method == "POST" else None
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
        with _OPENER.open(request) as reply:
            return json.load(reply)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        folder = make_workspace(tmp_path_factory.mktemp("house") / "workspace", patch)
        (folder / "dags").symlink_to(ROOT / "dags")
        use_serving_environment(patch)
        patch.setenv("ECCLIP_APPROVAL", "true")  # a night waits for a person before it is promoted
        settings.cache_clear()
        try:
            lineages = _register(folder)
            addresses = start_services(SERVICES).addresses
            yield House(addresses["mlflow"], addresses["triton"], airflow_api(), lineages)
        finally:
            stop_services(SERVICES)
    settings.cache_clear()


def _register(folder: Path) -> dict[str, str]:
    """Register four bundles; return the lineage id of each version."""
    _set_floor(folder, 0.0)
    versions = {}
    for number in range(1, 5):
        night = f"2026-11-0{number}"
        shutil.copytree(tiny_bundle(number), folder / "work" / "nights" / night / "bundle")
        versions[str(release.register_night(night)["version"])] = lineage_of(digest_of(tiny_bundle(number)))
    return versions


def _set_floor(folder: Path, floor: float) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump({"gate": {"metrics": {METRIC: {"floor": floor}}}}))


@pytest.mark.fault(45)
def test_whatever_a_person_does_to_the_alias_it_agrees_with_the_answers_again(house: House) -> None:
    for step in (release.gate_night, release.bless_night, release.promote_night):
        step("2026-11-01")
    assert house.agrees_on("1")

    for wish in ("2", "1"):  # forward, and back
        house.move(wish)
        wait_until(lambda wish=wish: house.agrees_on(wish), f"version {wish}")  # type: ignore[misc]
    wait_until(lambda: "rolled_back" in registry.model_version("2").tags, "the word about it")
    assert house.events() <= 2, "a night's own promotion starts nothing"

    _set_floor(settings().workspace, 2.0)
    house.move("3")
    wait_until(lambda: house.alias() == "1", "the alias to come back")
    assert house.agrees_on("1")
    assert "beyond the floor" in registry.model_version("3").tags["refused_reason"]
    _set_floor(settings().workspace, 0.0)

    house.move("2")  # twice in a minute
    house.move("3")
    wait_until(lambda: house.agrees_on("3"), "the last wish")

    _a_person_moves_it_while_a_night_deploys(house)
    _a_person_rejects_a_night_and_then_approves_it(house)
    assert release.reconcile()["done"] == ""

    result = new_result("ecclip bench serve --only alias --quick")
    serve.run(result, SIZES["quick"], ["alias"], [])
    assert result.headline["alias_to_answer_seconds"] > 0
    assert house.agrees_on("4"), "the benchmark leaves the alias where it was"


def _a_person_moves_it_while_a_night_deploys(house: House) -> None:
    run = house.deploy(LAST)
    wait_until(lambda: house.state(run, "bless") == "running", "the server's examination of the night", every_s=0.5)
    house.move("1")
    wait_until(lambda: house.agrees_on("1"), "the wish, although the night is not through")
    assert house.decide(run, "Approve") == "failed", "its verdict was made against another champion"
    assert house.agrees_on("1")
    assert "champion_reason" not in registry.model_version("4").tags


def _a_person_rejects_a_night_and_then_approves_it(house: House) -> None:
    assert house.decide(house.deploy(LAST), "Reject") == "skipped"
    assert house.agrees_on("1")
    assert house.decide(house.deploy(LAST), "Approve") == "success"
    assert house.agrees_on("4")
