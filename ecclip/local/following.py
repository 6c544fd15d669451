"""One night through Airflow: triggered over REST, followed along the assets to its last DAG."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ecclip.core import ServiceError, now, patient
from ecclip.local.airflow import airflow_home
from ecclip.local.airflow_rest import AirflowApi

CHAIN = ("nightly_catalog", "train_towers", "deploy_bundle", "product_groups", "catalog_answers")
_DAGS = (*CHAIN, "reconcile_champion", "reconcile_nights", "roll_back")
_POLL_S = 2.0  # a poll takes the API server about 0.1 s of processor time
_NEXT_RUN_LIMIT_S = 900.0  # a run waits for that of the night before
_LOG_LINES = 12  # of a failed task that are shown


@dataclass
class TaskView:
    """One task of a night: state, seconds, and its result."""

    dag: str
    task: str
    state: str = ""
    seconds: float = 0.0
    attempt: int = 1
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """Return "written", "unchanged", or the few facts of a task that is not a stage."""
        if "outcome" in self.facts:
            return str(self.facts["outcome"])
        if self.facts.get("version"):
            return f"version {self.facts['version']}"
        return ""


@dataclass
class NightView:
    """All tasks of a night so far, in the order of their start."""

    night: str
    tasks: dict[tuple[str, str], TaskView] = field(default_factory=dict)


Show = Callable[[NightView, TaskView], None]


def trigger_night(api: AirflowApi, night: str) -> str:
    """Start the first DAG for a night and return the run."""
    run_id = f"{night}__{now():%Y%m%dT%H%M%S%f}"
    api.post(f"dags/{CHAIN[0]}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": {"night": night}})
    return run_id


def follow_night(api: AirflowApi, night: str, run_id: str, show: Show) -> NightView:
    """Follow a night that was triggered through its DAGs; ``show`` is called on every change.

    A night that a later one has overtaken is not promoted: the DAGs after that have no event to start from.

    Raises:
        ServiceError: a task failed permanently, or a DAG was not started by its asset.
    """
    view, dag_id = NightView(night), CHAIN[0]
    for following in (*CHAIN[1:], None):
        _follow_run(api, view, dag_id, run_id, show)
        if any(task.dag == dag_id and task.state == "skipped" for task in view.tasks.values()):
            return view
        if following:
            dag_id, run_id = following, _next_run(api, dag_id, run_id, following)
    return view


def close_interrupted(api: AirflowApi) -> list[str]:
    """Fail the runs that a killed Airflow left open, drop asset events that no run consumed, and return the runs.

    Call it before the scheduler starts only: nothing is running then, and an open run would block the next one.
    """
    closed = []
    for dag_id in _DAGS:
        for run in _open_runs(api, dag_id):
            api.patch(f"dags/{dag_id}/dagRuns/{run['dag_run_id']}", {"state": "failed"})
            closed.append(f"{dag_id} {run['dag_run_id']}")
        api.delete(f"dags/{dag_id}/assets/queuedEvents")
    return closed


def _open_runs(api: AirflowApi, dag_id: str) -> list[dict[str, Any]]:
    try:
        return list(api.get(f"dags/{dag_id}/dagRuns", state=["running", "queued"], limit=100)["dag_runs"])
    except ServiceError as error:
        if error.limit != 404:  # a new database has no DAGs yet
            raise
        return []


def _follow_run(api: AirflowApi, view: NightView, dag_id: str, run_id: str, show: Show) -> None:
    while True:
        run_state = api.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        instances = api.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]
        for instance in sorted(instances, key=lambda item: item["start_date"] or "9"):
            _update(api, view, instance, show)
        if run_state == "success":
            return
        if run_state == "failed":
            raise _failure(view, instances)
        time.sleep(_POLL_S)


def _update(api: AirflowApi, view: NightView, instance: dict[str, Any], show: Show) -> None:
    state = instance["state"] or ""
    if not instance["start_date"] or state == "upstream_failed":
        return
    key = (instance["dag_id"], instance["task_id"])
    known = view.tasks.setdefault(key, TaskView(*key))
    before = (known.state, known.attempt)
    known.state, known.attempt, known.seconds = state, max(1, instance["try_number"]), _seconds(instance)
    if before == (known.state, known.attempt):
        return
    if state == "success":
        known.facts = _facts(api, instance)
    show(view, known)


def _seconds(instance: dict[str, Any]) -> float:
    if instance["duration"] is not None and instance["end_date"]:
        return float(instance["duration"])
    return max(0.0, (now() - datetime.fromisoformat(instance["start_date"])).total_seconds())


def _facts(api: AirflowApi, instance: dict[str, Any]) -> dict[str, Any]:
    path = f"dags/{instance['dag_id']}/dagRuns/{instance['dag_run_id']}/taskInstances/{instance['task_id']}"
    value = api.get(f"{path}/xcomEntries/return_value")["value"]
    return value if isinstance(value, dict) else {}


def _next_run(api: AirflowApi, dag_id: str, run_id: str, following: str) -> str:
    """Return the run of ``following`` that the assets of a finished run have started."""
    deadline = time.monotonic() + patient(_NEXT_RUN_LIMIT_S)
    while time.monotonic() < deadline:
        for found_dag, found_run in api.runs_caused_by(dag_id, run_id):
            if found_dag == following:
                return found_run
        time.sleep(_POLL_S)
    raise ServiceError(
        f"{following} was not started by the asset of {dag_id}",
        value=run_id,
        limit=f"{patient(_NEXT_RUN_LIMIT_S):g} s",
        next_step=f"is {following} paused? see {api.base}/dags/{following}",
    )


def _failure(view: NightView, instances: list[dict[str, Any]]) -> ServiceError:
    failed = [item for item in instances if item["state"] == "failed"]
    if not failed:
        return ServiceError(
            "a run failed without a failed task",
            value=[item["state"] for item in instances],
            next_step="see the run in the Airflow UI, and work/logs/airflow-scheduler.log",
        )
    item = failed[0]
    name = f"{item['dag_id']}.{item['task_id']}"
    log = task_log(item["dag_id"], item["dag_run_id"], item["task_id"], item["try_number"])
    return ServiceError(
        f"{name} failed for the night {view.night}",
        value="\n" + "\n".join(readable_log(log)) + "\n",
        next_step=f"read {log}; fix the cause and run again: what is finished stays",
    )


def task_log(dag_id: str, run_id: str, task_id: str, attempt: int) -> Path:
    """Return where Airflow keeps the log of one attempt of a task."""
    folder = airflow_home() / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
    return folder / f"attempt={max(1, attempt)}.log"


def readable_log(path: Path, count: int = _LOG_LINES) -> list[str]:
    """Return the last relevant lines of a task's JSON log: level, event, and error texts."""
    if not path.is_file():
        return [f"(no log at {path})"]
    lines: list[str] = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            lines.append(line)
            continue
        event = str(record.get("event", ""))
        if not event.startswith("::"):
            lines.append(f"{record.get('level', '')}: {event}")
        lines += [f"  {part['exc_type']}: {part['exc_value']}" for part in record.get("error_detail") or []]
    return lines[-count:]
