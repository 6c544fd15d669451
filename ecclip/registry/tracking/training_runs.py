"""The MLflow run of a training, found by the key of everything that decides the training's bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecclip.registry.store import experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def training_run(store: MlflowClient, key: str) -> Run | None:
    """Return the run of a training, the oldest if a slow server made two, or None."""
    found = _runs(store, key)
    return found[0] if found else None


def run_is_active(store: MlflowClient, run_id: str) -> bool:
    """Return whether the store has the run and it is not deleted."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return False
    try:
        return bool(store.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def last_steps(store: MlflowClient, run: Run) -> dict[str, int]:
    """Return the highest step by metric of a run."""
    return {name: max(steps_of(store, run, name)) for name in run.data.metrics}


def steps_of(store: MlflowClient, run: Run, name: str) -> set[int]:
    """Return the steps that a run has of a metric."""
    if name not in run.data.metrics:
        return set()
    return {int(metric.step) for metric in store.get_metric_history(run.info.run_id, name)}


def remove_twins(store: MlflowClient, key: str, kept: str) -> None:
    """Delete empty runs of the same training: a server that hung may still create the run of an abandoned call."""
    for run in _runs(store, key):
        if run.info.run_id != kept and not run.data.metrics and "bundle_digest" not in run.data.tags:
            store.delete_run(run.info.run_id)


def _runs(store: MlflowClient, key: str) -> list[Run]:
    wanted = f"tags.training_key = '{key}'"
    return list(store.search_runs([experiment_id(store)], wanted, order_by=["start_time ASC", "run_id ASC"]))
