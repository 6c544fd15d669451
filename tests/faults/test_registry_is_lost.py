"""The registry is deleted, restored from an older backup, renamed or emptied by hand, and then a night comes.

What answers stays what it was and is what is named; nobody becomes a first champion beside it; what the error says,
typed, works. A real MLflow store; a table stands in for the inference server.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import write_bundle
from mlflow import MlflowClient
from mlflow_servers import mlflow_server
from registries import MLFLOW_WARNINGS, Children, empty_store, make_workspace
from server_tables import ServerTable

from ecclip import release
from ecclip.core import digest_of
from ecclip.formats.live import read_live

FIRST, REIGNING, WORSE, BETTER = (f"2026-11-0{day}" for day in range(1, 5))
TOP1 = {FIRST: 0.8, REIGNING: 0.9, WORSE: 0.6, BETTER: 0.95}  # the worse one is above the floor of a first champion
GATE = {"gate": {"metrics": {"category/both/top1": {"floor": 0.5, "allowed_drop": 0.02}}}}

pytestmark = [pytest.mark.slow, pytest.mark.ops, pytest.mark.fault(47), pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]


class Shop:
    """A workspace in which the bundle of the second night answers, and what others do to its registry."""

    def __init__(self, workspace: Path, children: Children) -> None:
        self.workspace, self._children = workspace, children
        self.mlflow = workspace / "work" / "mlflow"
        self.url = f"sqlite:///{self.mlflow / 'mlflow.db'}"
        self.digests = {night: digest_of(self.bundle(night)) for night in TOP1}

    def bundle(self, night: str) -> Path:
        return self.workspace / "work" / "nights" / night / "bundle"

    def store(self) -> MlflowClient:
        """Return MLflow's own client, by which a person does things."""
        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def answering(self) -> str:
        """Return the bundle that answers."""
        live = read_live(self.workspace / "work" / "model_repository")
        assert live is not None
        return live.bundle

    def run(self, *calls: list[str]) -> dict[str, Any]:
        """Call functions of ``ecclip.release`` in one process; return what the last one, or the failing one, said."""
        return self._job("release", [*calls])

    def type(self, command: str) -> dict[str, Any]:
        return self._job("type", command.split()[1:])

    def night(self, night: str, *steps: str) -> dict[str, Any]:
        return self.run(*([f"{step}_night", night] for step in ("register", *steps)))

    def _job(self, call: str, args: list[Any]) -> dict[str, Any]:
        job = {"workspace": str(self.workspace), "call": call, "args": args}
        return self._children.run([job], at_once=False)[0]


def deleted(shop: Shop) -> None:
    shutil.rmtree(shop.mlflow)  # with the audit file


def emptied(shop: Shop) -> None:
    shutil.copy(empty_store(), shop.mlflow / "mlflow.db")


def restored(shop: Shop) -> None:
    shutil.copy(shop.workspace / "older.db", shop.mlflow / "mlflow.db")


def renamed(shop: Shop) -> None:
    shop.store().rename_registered_model("ecclip", "the shop's model")


def alias_deleted(shop: Shop) -> None:
    shop.store().delete_registered_model_alias("ecclip", "champion")


def version_deleted(shop: Shop) -> None:
    shop.store().delete_model_version("ecclip", "2")


def model_deleted(shop: Shop) -> None:
    shop.store().delete_registered_model("ecclip")


def experiment_deleted(shop: Shop) -> None:
    shop.store().delete_experiment(shop.store().get_experiment_by_name("ecclip").experiment_id)


def run_collected(shop: Shop) -> None:
    store = shop.store()
    run = str(store.get_model_version("ecclip", "2").run_id)
    store.delete_run(run)
    with mlflow_server(shop.mlflow) as server:  # which knows where the run's artifacts are
        garbage = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", shop.url]
        garbage += ["--tracking-uri", server.direct, "--run-ids", run]
        subprocess.run(garbage, check=True, capture_output=True)


DAMAGES = (
    restored, deleted, emptied, renamed, model_deleted, version_deleted, alias_deleted, experiment_deleted,
    run_collected,
)  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        workspace = make_workspace(tmp_path_factory.mktemp("prepared") / "workspace", patch)
        (workspace / "params.yaml").write_text(yaml.safe_dump(GATE))
        ServerTable().install(patch)
        for night, top1 in TOP1.items():
            bundle = workspace / "work" / "nights" / night / "bundle"
            write_bundle(bundle, night, {"category/both/top1": top1}, seed=int(night[-2:]))
        for night in (FIRST, REIGNING):
            for step in (release.register_night, release.gate_night, release.bless_night, release.promote_night):
                step(night)
            if night == FIRST:
                shutil.copy(workspace / "work" / "mlflow" / "mlflow.db", workspace / "older.db")
        yield workspace


@pytest.fixture
def shop(prepared: Path, tmp_path: Path, children: Children) -> Shop:
    return Shop(shutil.copytree(prepared, tmp_path / "shop"), children)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_night_after_the_damage_meets_what_answers_and_the_error_names_a_way_that_works(
    shop: Shop, damage: Callable[[Shop], None]
) -> None:
    damage(shop)
    judged = shop.night(WORSE, "gate")
    if judged["error"] == "IntegrityError":  # it is never judged as a first champion
        assert "does not know the bundle that answers" in judged["message"]
        way_out = re.search(r"next: (ecclip [a-z]+ [a-z]+)", judged["message"])
        assert way_out, judged
        assert "error" not in shop.type(way_out[1])
        judged = shop.night(WORSE, "gate")
    assert (judged["error"], shop.answering()) == ("GateError", shop.digests[REIGNING])
    assert "0.6000 against the champion's 0.9000" in judged["message"]

    agreed = shop.run(["reconcile"])
    assert agreed["digest"] == shop.digests[REIGNING]
    assert agreed["champion"] == agreed["version"]

    assert shop.night(BETTER, "gate", "bless", "promote")["promoted"]
    agreed = shop.run(["reconcile"])
    assert (agreed["digest"], shop.answering(), agreed["done"]) == (shop.digests[BETTER], shop.digests[BETTER], "")
    assert agreed["champion"] == agreed["version"]

    back = shop.run(["roll_back"])
    assert (back["digest"], shop.answering()) == (shop.digests[REIGNING], shop.digests[REIGNING])


def test_a_rebuilt_registry_says_what_the_lost_one_said_and_a_second_time_changes_nothing(shop: Shop) -> None:
    store = shop.store()
    before = {version.tags["bundle_digest"]: version.tags for version in store.search_model_versions("name='ecclip'")}
    shutil.copy(empty_store(), shop.mlflow / "mlflow.db")
    audit = (shop.mlflow / "audit.jsonl").read_bytes()
    assert [*shop.run(["rebuild_registry"])["entered"].values()] == [shop.digests[FIRST], shop.digests[REIGNING]]
    first, reigning = (_tags(shop, night) for night in (FIRST, REIGNING))
    for night, tags in ((FIRST, first), (REIGNING, reigning)):
        told = {name: value for name, value in before[shop.digests[night]].items() if name.startswith("champion_")}
        assert {name: tags[name] for name in told} == told | {"champion_at": tags["champion_at"]}
    assert (reigning["previous_champion_digest"], first["replaced_by"]) == (shop.digests[FIRST], "2")
    assert (shop.mlflow / "audit.jsonl").read_bytes() == audit
    again = shop.run(["rebuild_registry"])
    assert (again["entered"], again["champion"], _tags(shop, REIGNING)) == ({}, "2", reigning)


def _tags(shop: Shop, night: str) -> dict[str, str]:
    (found,) = shop.store().search_model_versions(f"name='ecclip' and tag.bundle_digest='{shop.digests[night]}'")
    return dict(found.tags)


def test_a_backup_from_before_a_rollback_does_not_undo_it(shop: Shop) -> None:
    shutil.copy(shop.mlflow / "mlflow.db", shop.workspace / "newer.db")
    assert shop.run(["roll_back"])["digest"] == shop.digests[FIRST]
    shutil.copy(shop.workspace / "newer.db", shop.mlflow / "mlflow.db")
    assert "the registry is older" in shop.run(["reconcile"])["done"]
    assert shop.answering() == shop.digests[FIRST]
    assert shop.run(["reconcile"])["done"] == ""
