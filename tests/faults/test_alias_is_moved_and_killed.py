"""Whoever deploys is killed before each write, and the next call brings alias, record and answers together again."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import write_bundle
from mlflow import MlflowClient
from registries import MLFLOW_WARNINGS, Children, make_workspace
from server_tables import ServerTable

from ecclip import release

OLD, NEW, BAD = "2026-11-01", "2026-11-02", "2026-11-03"
GATE = {"gate": {"metrics": {"category/both/top1": {"floor": 0.5, "allowed_drop": 0.02}}}}

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace in which version 1 answers, 2 is better and examined, and 3 is worse."""
    with pytest.MonkeyPatch.context() as patch:
        workspace = make_workspace(tmp_path_factory.mktemp("prepared") / "workspace", patch)
        (workspace / "params.yaml").write_text(yaml.safe_dump(GATE))
        ServerTable().install(patch)
        for night, top1 in ((OLD, 0.8), (NEW, 0.9), (BAD, 0.6)):
            bundle = workspace / "work" / "nights" / night / "bundle"
            write_bundle(bundle, night, {"category/both/top1": top1}, seed=int(night[-2:]))
            release.register_night(night)
            if night != BAD:
                release.gate_night(night)
                release.bless_night(night)
            if night == OLD:
                release.promote_night(night)
        yield workspace


def _job(workspace: Path, *calls: list[str], **more: int) -> dict[str, Any]:
    return {"workspace": str(workspace), "call": "release", "args": list(calls), **more}


@pytest.mark.fault(18)
@pytest.mark.fault(45)
@pytest.mark.parametrize(
    ("wish", "calls", "ends"),
    [
        ("2", [["reconcile"]], {"2"}),  # an older version goes the same way
        pytest.param("3", [["reconcile"]], {"1"}, marks=pytest.mark.slow),
        pytest.param("1", [["bless_night", NEW], ["promote_night", NEW]], {"1", "2"}, marks=pytest.mark.slow),
    ],
    ids=["granted", "refused", "a-night"],
)
def test_a_deployment_killed_before_any_write_is_brought_to_an_end_by_the_next_call(
    prepared: Path, tmp_path: Path, children: Children, wish: str, calls: list[list[str]], ends: set[str]
) -> None:
    before = tmp_path / "before"
    shutil.copytree(prepared, before)
    store = f"sqlite:///{before / 'work' / 'mlflow' / 'mlflow.db'}"
    MlflowClient(tracking_uri=store, registry_uri=store).set_registered_model_alias("ecclip", "champion", wish)
    found, write = set(), 0
    while True:
        write += 1
        workspace = tmp_path / str(write)
        shutil.copytree(before, workspace)
        jobs = [_job(workspace, *calls, kill_write=write), _job(workspace, ["reconcile"])]
        killed, finished = children.run(jobs, at_once=False)
        assert "error" not in killed, killed
        assert finished["champion"] == finished["version"], finished
        found.add(finished["version"])
        shutil.rmtree(workspace)
        if killed != {"signal": signal.SIGKILL}:
            break
    assert finished["done"] == "", "the run that nobody killed left something to do"
    assert (found, write > 1) == (ends, True)
