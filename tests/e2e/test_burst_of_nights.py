"""Three nights at once under a real Airflow, their events in any order or lost: the newest is trained and judged.

Training is stood in for by a DAG that takes the bundle which lies ready for the night; the other DAGs are the real
ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import write_bundle
from manifests import seal
from registries import MLFLOW_WARNINGS, make_workspace
from waiting import wait_until

from ecclip import registry, release
from ecclip.core import digest_of, settings, write_atomic
from ecclip.local import AirflowApi, airflow_api, start_services, stop_services

pytestmark = [pytest.mark.slow, pytest.mark.ops, pytest.mark.fault(46), pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

ROOT = Path(__file__).parents[2]
SERVICES = ("airflow",)
_ENDED = {"success", "failed"}
_TRAINING = """
import shutil
from airflow.sdk import dag
from ecclip_tasks import BUNDLE, DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, SNAPSHOT, night_task

def train(night):
    from ecclip.core import settings
    from ecclip.release import register_night
    work = settings().work
    shutil.copytree(work / "ready" / night, work / "nights" / night / "bundle", dirs_exist_ok=True)
    return register_night(night)

@dag(schedule=SNAPSHOT, start_date=FIRST_NIGHT, max_active_runs=1, default_args=DEFAULTS, params=NIGHT_PARAM)
def train_towers():
    night_task("register", train, outlet=BUNDLE)

train_towers()
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_workspace(tmp_path / "workspace", monkeypatch)
    (folder / "dags").mkdir()
    for path in (ROOT / "dags").iterdir():
        if path.is_file() and path.name not in ("train_towers.py", "weekly_retrain.py"):
            (folder / "dags" / path.name).symlink_to(path)
    (folder / "dags" / "training.py").write_text(_TRAINING)
    # the gate refuses all of them: a verdict all the same, and no server is needed
    limits = {"metrics": {"category/both/top1": {"floor": 2.0}}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"gate": limits}))
    yield folder
    stop_services(SERVICES)
    settings.cache_clear()


def _publish(workspace: Path, night: str) -> None:
    snapshot = workspace / "work" / "snapshots" / night
    write_atomic(snapshot / "statistics.json", f'{{"night": "{night}"}}')
    seal(snapshot, "publish", night)
    write_bundle(workspace / "work" / "ready" / night, night, seed=int(night[-2:]), snapshot=digest_of(snapshot))


def _tell(api: AirflowApi, nights: tuple[str, ...]) -> None:
    asset = api.get("assets", name_pattern="snapshot")["assets"][0]["id"]
    for night in nights:
        api.post("assets/events", {"asset_id": asset, "extra": {"night": night}})


def _reconcile(api: AirflowApi) -> None:
    """Run the reconciling DAG once, and wait for it and for whatever runs then."""
    body: dict[str, Any] = {"logical_date": None, "conf": {}}
    run = api.post("dags/reconcile_nights/dagRuns", body)["dag_run_id"]
    path = f"dags/reconcile_nights/dagRuns/{run}"
    wait_until(lambda: api.get(path)["state"] in _ENDED, "the reconciling run", every_s=0.5)
    assert api.get(path)["state"] == "success"
    for dag in ("train_towers", "deploy_bundle"):
        wait_until(
            lambda dag=dag: not api.get(f"dags/{dag}/dagRuns", state=["running", "queued"])["dag_runs"],  # type: ignore[misc]
            f"the runs of {dag}",
            every_s=0.5,
        )


def _gate(night: str) -> str | None:
    return next((one.tags.get("gate") for one in registry.all_versions() if one.night == night), None)


def test_of_three_nights_at_once_the_newest_is_trained_and_judged_whatever_was_heard(workspace: Path) -> None:
    start_services(SERVICES)
    api = airflow_api()
    for first, heard in ((1, (2, 0, 1)), (4, (0, 2)), (7, ())):  # all, in another order; not all; none
        nights = tuple(f"2026-11-0{day}" for day in range(first, first + 3))
        for night in nights:
            _publish(workspace, night)
        _tell(api, tuple(nights[place] for place in heard))
        rounds = 0
        while _gate(nights[-1]) is None or release.reconcile_nights().work:
            _reconcile(api)
            rounds += 1
            assert rounds <= 6, release.reconcile_nights()
        assert _gate(nights[-1]) == "refused", "a verdict"
        trained = {one.night for one in registry.all_versions()}
        assert release.reconcile_nights().overtaken.keys() >= set(nights) - trained, "what was overtaken says so"
    runs = api.get("dags/train_towers/dagRuns", limit=100)["dag_runs"]
    started = [run["dag_run_id"] for run in runs if run["dag_run_id"].startswith("reconcile__")]
    assert len(started) == len(set(started)) >= 1
