"""Every night of a week run again under a real Airflow, in date order and in reverse, after the newest one answers.

The DAGs of release and products are the real ones; catalog and training are stood in for by one that registers the
bundle which lies in the night's folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from registries import MLFLOW_WARNINGS, make_workspace
from serving_bundles import tiny_bundle
from serving_server import use_serving_environment
from waiting import wait_until

from ecclip import registry, release
from ecclip.core import settings
from ecclip.local import AirflowApi, airflow_api, start_services, stop_services
from ecclip.nights import work_path
from ecclip.pipeline import STEPS

pytestmark = [pytest.mark.slow, pytest.mark.ops, pytest.mark.fault(48), pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

ROOT = Path(__file__).parents[2]
SERVICES = ("airflow", "triton")
WEEK = [f"2026-11-0{day}" for day in range(1, 8)]
_ENDED = {"success", "failed", "skipped", "upstream_failed"}
_TRAINING = """
from airflow.sdk import dag
from ecclip_tasks import BUNDLE, DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, night_task

def register(night):
    from ecclip.release import await_decision, register_night
    await_decision(night, limit_s=0)
    return register_night(night)

@dag(schedule=None, start_date=FIRST_NIGHT, max_active_runs=1, default_args=DEFAULTS, params=NIGHT_PARAM)
def train_towers():
    night_task("register", register, outlet=BUNDLE)

train_towers()
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_workspace(tmp_path / "workspace", monkeypatch)
    (folder / "dags").mkdir()
    for path in (ROOT / "dags").iterdir():
        if path.is_file() and path.name not in (
            "train_towers.py",
            "reconcile_nights.py",
        ):  # the latter looks at the clock
            (folder / "dags" / path.name).symlink_to(path)
    (folder / "dags" / "training.py").write_text(_TRAINING)
    use_serving_environment(monkeypatch)
    yield folder
    stop_services(SERVICES)
    settings.cache_clear()


def _train(night: str, seed: int) -> None:
    """Leave in a night's folder what a training leaves, that of a seed."""
    bundle = tiny_bundle(seed)
    for name, made in (("export", bundle), ("embed", bundle.parent / "sources" / "embed")):
        folder = work_path(STEPS[name].output, night)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, folder)


def _set_floor(workspace: Path, floor: float) -> None:
    limits = {"metrics": {"category/both/top1": {"floor": floor}}, "cell_drop": 1.0}
    (workspace / "params.yaml").write_text(yaml.safe_dump({"gate": limits}))


def _again(api: AirflowApi, night: str) -> dict[str, str]:
    """Run a night through training and release; return the states of the release's tasks."""
    body: dict[str, Any] = {"logical_date": None, "conf": {"night": night}}
    run = str(api.post("dags/train_towers/dagRuns", body)["dag_run_id"])

    def caused() -> list[str]:
        return [found for dag, found in api.runs_caused_by("train_towers", run) if dag == "deploy_bundle"]

    wait_until(caused, "the deployment of the night", every_s=0.5)
    path = f"dags/deploy_bundle/dagRuns/{caused()[0]}"
    wait_until(lambda: api.get(path)["state"] in _ENDED, "the end of the deployment", every_s=0.5)
    instances = api.get(f"{path}/taskInstances")["task_instances"]
    return {str(one["task_id"]): str(one["state"]) for one in instances}


def test_a_week_again_in_either_order_changes_nothing_and_fails_nothing(workspace: Path) -> None:
    _set_floor(workspace, 0.0)
    start_services(SERVICES)
    api = airflow_api()
    _train(WEEK[-1], 0)
    assert set(_again(api, WEEK[-1]).values()) == {"success"}
    champion = registry.champion()
    assert champion is not None
    assert (champion.night, release.state()["state"]) == (WEEK[-1], "agree")
    for seed, floor, old in ((1, 0.0, WEEK[:-1]), (2, 2.0, WEEK[-2::-1])):  # the gate refuses all of the second time
        _set_floor(workspace, floor)
        for night in old:
            _train(night, seed)
            states = _again(api, night)
            assert "failed" not in states.values(), (night, states)
            assert states["promote"] == "skipped"
            assert registry.undecided() is None
            now = registry.champion()
            assert now is not None
            assert (now.version, release.products_due(night)["due"]) == (champion.version, False)
    runs = api.get("dags/product_groups/dagRuns")["dag_runs"]
    assert {run["conf"].get("night") for run in runs} <= {None}
    assert len(runs) == 1, "one event: that of the promotion"
    assert not list((workspace / "work" / "nights").glob("2026-11-0[1-6]/products"))
