"""Airflow killed in the middle of a task: the next start clears up and the night runs to its end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from waiting import lives, wait_until

from ecclip.core import EcclipError, settings
from ecclip.core.services import Services
from ecclip.local import (
    NightView,
    TaskView,
    airflow_api,
    follow_night,
    start_services,
    status,
    stop_services,
    trigger_night,
)

ROOT = Path(__file__).parents[2]
NIGHT = "2026-11-01"
AIRFLOW = ("airflow",)
CHAIN = ("nightly_catalog", "train_towers", "deploy_bundle", "product_groups", "catalog_answers")

# the DAGs of a night with the real task helper, and tasks that take no time unless told to
_DAGS = """
import os, time
from pathlib import Path
from airflow.sdk import dag
from ecclip_tasks import BUNDLE, CHAMPION, DEFAULTS, FIRST_NIGHT, NIGHT_PARAM, PRODUCTS, SNAPSHOT, night_task

WORK = Path(os.environ["ECCLIP_WORKSPACE"]) / "work"

def work(night):
    with (WORK / "calls").open("a") as file:
        file.write(f"{night} {os.environ['ECCLIP_RUN_ID']}\\n")
    while (WORK / "hold").exists():
        time.sleep(0.1)
    return {"digest": "d" * 64, "outcome": "written"}

def chain(name, schedule, outlet):
    @dag(dag_id=name, schedule=schedule, start_date=FIRST_NIGHT, max_active_runs=1, default_args=DEFAULTS,
         params=NIGHT_PARAM)
    def build():
        night_task("first", work, pool="spark") >> night_task("last", work, outlet=outlet)
    return build()

chain("nightly_catalog", None, SNAPSHOT)
chain("train_towers", SNAPSHOT, BUNDLE)
chain("deploy_bundle", BUNDLE, CHAMPION)
chain("product_groups", CHAMPION, PRODUCTS)
chain("catalog_answers", PRODUCTS, None)
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "dags").mkdir()
    for name in ("ecclip_tasks.py", "pools.json", ".airflowignore"):
        (tmp_path / "dags" / name).symlink_to(ROOT / "dags" / name)
    (tmp_path / "dags" / "nights.py").write_text(_DAGS)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    stop_services(AIRFLOW)
    settings.cache_clear()


def _ignore(_: NightView, __: TaskView) -> None:
    """Nobody looks."""


def _run_until_it_breaks() -> None:
    try:
        follow_night(airflow_api(), NIGHT, trigger_night(airflow_api(), NIGHT), _ignore)
    except EcclipError:
        return


@pytest.mark.slow
@pytest.mark.fault(31)
@pytest.mark.fault(35)
def test_a_night_survives_the_kill_of_airflow_in_the_middle_of_a_task(workspace: Path) -> None:
    (workspace / "work" / "hold").touch()
    start_services(AIRFLOW)
    follower = threading.Thread(target=_run_until_it_breaks, daemon=True)
    follower.start()
    calls = workspace / "work" / "calls"
    wait_until(calls.exists, "the first task")
    scheduler = Services().find("airflow-scheduler")
    assert scheduler is not None
    task = psutil.Process(scheduler.pid).children(recursive=True)
    os.kill(scheduler.pid, signal.SIGKILL)
    wait_until(lambda: status()["airflow"]["state"] != "running", "a word about the killed scheduler")

    # its orphans still hold the task: the next start ends them before it begins
    (workspace / "work" / "hold").unlink()
    started = start_services(AIRFLOW)
    follower.join()
    assert started.started == AIRFLOW
    assert [process for process in task if lives(process)] == []
    runs = airflow_api().get("dags/nightly_catalog/dagRuns", limit=100)["dag_runs"]
    assert [run["state"] for run in runs] == ["failed"], "the start closes what was interrupted"
    for dag in CHAIN:
        assert airflow_api().get(f"dags/{dag}/dagRuns", state=["running", "queued"])["dag_runs"] == []

    view = follow_night(airflow_api(), NIGHT, trigger_night(airflow_api(), NIGHT), _ignore)
    assert list(view.tasks) == [(dag, task) for dag in CHAIN for task in ("first", "last")]
    assert {task.state for task in view.tasks.values()} == {"success"}
    lines = calls.read_text().splitlines()
    assert {line.split()[0] for line in lines} == {NIGHT}, "the night travels along the assets"
    # the scheduler may have taken the interrupted run up again before it was closed
    runs_of_the_night = {line.split()[1] for line in lines} - {lines[0].split()[1]}
    assert len(runs_of_the_night) == len(CHAIN), "each task knows the run that called it"
