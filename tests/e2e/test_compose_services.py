"""What infra/compose.yaml starts in its worker images comes up here, without docker, and runs a night."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from compose import ROOT, Here, composed
from waiting import wait_ended, wait_until

from ecclip.core import digest_of
from ecclip.local import COMPONENTS, AirflowApi, pools

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

NIGHT = "2026-11-01"
NIGHT_LIMIT_S = 3600.0  # of a whole night, for what hangs
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# one night, which nobody waits for; a sign of life is missed sooner than in production, where minutes do not matter
ONE_NIGHT = {
    "ECCLIP_SCHEDULE": "none",
    "ECCLIP_RETRY_DELAY_S": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
}


@contextmanager
def _stopped_at_last(here: Here) -> Iterator[Here]:
    try:
        yield here
    finally:
        here.stop()


def _api(here: Here) -> AirflowApi:
    """Return a client of the started Airflow, once all of its components are healthy."""
    passwords = here.volume("shop") / "work" / "airflow" / "passwords.json"
    wait_until(passwords.is_file, "the password of the API server")
    password = wait_until(lambda: json.loads(passwords.read_text() or "{}").get("admin"), "the password itself")
    api = AirflowApi(here.ports["airflow-api:8080"], "admin", password)
    names = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    wait_until(lambda: all(api.health().get(name) == "healthy" for name in names), "Airflow's components")
    return api


def _status(address: str, host: str) -> int:
    request = urllib.request.Request(f"http://{address}/api/2.0/mlflow/experiments/search?max_results=1")
    request.add_header("Host", host)
    try:
        with _OPENER.open(request, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_every_service_of_the_worker_image_comes_up_and_a_task_runs(tmp_path: Path) -> None:
    with _stopped_at_last(Here(tmp_path, composed("compose.yaml"))) as here:
        here.run("prepare")
        here.run("prepare")  # as at every start
        for name in ("mlflow", *COMPONENTS):
            here.start(name.replace("airflow-api-server", "airflow-api"))
        mlflow = f"127.0.0.1:{here.ports['mlflow:5000']}"
        wait_until(lambda: _status(mlflow, mlflow) == 200, "MLflow")
        assert _status(mlflow, "mlflow:5000") == 200
        assert _status(mlflow, "elsewhere:5000") == 403

        api = _api(here)
        made = {pool["name"]: pool["slots"] for pool in api.get("pools")["pools"]}
        assert {name: pool["slots"] for name, pool in pools().items()}.items() <= made.items()
        wait_until(lambda: api.get("dags")["total_entries"] >= 6, "the DAGs")
        # signed by one component, checked by another: it reaches the executor, the task, MLflow, and comes back
        run = api.post("dags/reconcile_champion/dagRuns", {"logical_date": None, "conf": {}})["dag_run_id"]
        assert _ended(api, "reconcile_champion", run) == "success", here.log("airflow-scheduler")


def _ended(api: AirflowApi, dag: str, run: str) -> str:
    def state() -> str:
        found = str(api.get(f"dags/{dag}/dagRuns/{run}")["state"])
        return found if found in ("success", "failed") else ""

    return wait_until(state, f"the run {run} of {dag}", NIGHT_LIMIT_S)


@pytest.fixture
def worker_python() -> Path:
    """Return the interpreter of a worker's own environment, which is made if it is not there."""
    if not shutil.which("redis-server"):
        pytest.skip("there is no redis-server: sudo apt-get install redis-server")
    if given := os.environ.get("ECCLIP_TEST_WORKER_PYTHON"):
        return Path(given)
    subprocess.run([str(ROOT / "scripts" / "worker-env")], check=True)
    return ROOT / "work" / "env" / "worker" / "bin" / "python"


@pytest.mark.fault(2)
def test_a_night_trains_on_a_worker_that_shares_the_remote_alone_and_is_killed_once(
    worker_python: Path, tmp_path: Path
) -> None:
    files = composed("compose.yaml", "compose.celery.yaml")
    pythons = {"ecclip-gpu-worker": worker_python}
    with _stopped_at_last(Here(tmp_path, files, pythons, ONE_NIGHT)) as here:
        here.run("prepare")
        _make_small(here.volume("shop"))
        redis = ("--port", str(here.ports["redis:6379"]), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
        here.start("redis", *redis)
        for name in ("mlflow", *COMPONENTS):
            here.start(name.replace("airflow-api-server", "airflow-api"))
        for name in ("airflow-worker", "gpu-worker"):
            _start_worker(here, name)
        api = _api(here)
        wait_until(lambda: api.get("dags")["total_entries"] >= 6, "the DAGs")
        api.patch("dags/deploy_bundle", {"is_paused": True})  # there is no Triton
        conf = {"logical_date": None, "conf": {"night": NIGHT}}
        run = api.post("dags/nightly_catalog/dagRuns", conf)["dag_run_id"]
        assert _ended(api, "nightly_catalog", run) == "success", here.log("airflow-worker")

        training = wait_until(lambda: _runs(api, "train_towers"), "the training's run")[0]
        checkpoints = here.volume("gpu") / "work" / "nights" / NIGHT
        wait_until(lambda: list(checkpoints.glob("**/step-*/state.json")), "a checkpoint", NIGHT_LIMIT_S)
        _kill(here.services.find("gpu-worker"))
        _start_worker(here, "gpu-worker")
        assert _ended(api, "train_towers", training) == "success", here.log("gpu-worker")
        tasks = {task["task_id"]: task for task in _tasks(api, "train_towers", training)}
        assert tasks["train"]["try_number"] >= 2
        assert tasks["push"]["state"] == "success"
        _workspaces_share_the_training_alone(here)


def _start_worker(here: Here, name: str) -> None:
    here.start(name, "--celery-hostname", f"{name}@%h")  # containers have names of their own


def _make_small(workspace: Path) -> None:
    command = [sys.executable, "-m", "ecclip", "sample", "--nights", "1", "--listings", "300"]
    environment = os.environ | {"ECCLIP_WORKSPACE": str(workspace)}
    subprocess.run([*command, "--folder", str(workspace / "work")], env=environment, check=True)
    path = workspace / "params.yaml"
    parameters: dict[str, Any] = yaml.safe_load(path.read_text())
    parameters["train"] = {"trainer": {"checkpoint_every": 2}}  # a small night has few steps
    path.write_text(yaml.safe_dump(parameters))


def _runs(api: AirflowApi, dag: str) -> list[str]:
    return [str(run["dag_run_id"]) for run in api.get(f"dags/{dag}/dagRuns")["dag_runs"]]


def _tasks(api: AirflowApi, dag: str, run: str) -> list[dict[str, Any]]:
    return list(api.get(f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"])


def _kill(service: Any) -> None:
    """Kill a worker with all that it has started, as a machine does that loses its power."""
    leader = psutil.Process(service.pid)
    everyone = [leader, *leader.children(recursive=True)]
    for process in everyone:
        process.send_signal(signal.SIGSTOP)  # none of them notices that another one is gone
    for process in everyone:
        process.kill()
    wait_ended(everyone, "the worker")


def _workspaces_share_the_training_alone(here: Here) -> None:
    night = Path("work") / "nights" / NIGHT
    ours, theirs = here.volume("shop") / night, here.volume("gpu") / night
    for stage in ("pairs", "train", "embed"):
        assert digest_of(ours / stage) == digest_of(theirs / stage)
    assert (ours / "bundle" / "manifest.json").is_file()
    made_there = {path.name for path in theirs.iterdir() if not path.name.startswith(".")}
    assert made_there & {"land", "ingest", "check", "group", "evaluate", "bundle"} == set()
    assert list(here.volume("remote").rglob("*.dir"))
