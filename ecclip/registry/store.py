"""Access to MLflow: one quiet client for the workspace's own store or a server, and one kind of error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ecclip.core import ServiceError, get_logger, locked, settings
from ecclip.registry.tracking.artifacts import ROOT, find_own_artifacts, name_artifacts_by_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

EXPERIMENT = "ecclip"
MODEL = "ecclip"
CHAMPION = "champion"
CHALLENGER = "challenger"
OVERTAKEN = "overtaken"  # tag of a version that a later night kept from the servers, with the reason

# Read by MLflow when it is imported. A hanging registry must delay a night by seconds, not by MLflow's default minutes.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
_METRICS_PER_REQUEST = 500  # half of MLflow's limit of 1000
_PARAMS_PER_REQUEST = 100  # MLflow's limit
_OLD_SCHEMA = "out-of-date database schema"
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")


def client() -> MlflowClient:
    """Return the client of the configured registry; call it inside :func:`answering`."""
    import mlflow

    uri = settings().tracking_uri
    store = _connect(uri)
    if mlflow.get_tracking_uri() != uri:  # parts of MLflow's own store ask the address of the process
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
    return store


def has_store() -> bool:
    """Say whether there is a registry to ask: the workspace's own is made by whoever writes first."""
    uri = settings().tracking_uri
    return not uri.startswith("sqlite:") or Path(uri.removeprefix("sqlite:///")).is_file()


@contextmanager
def answering() -> Iterator[None]:
    """Turn every failure of MLflow into ServiceError."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        refused = getattr(error, "error_code", "") in _REFUSALS
        raise ServiceError(
            "the registry refused a request" if refused else "the registry does not answer",
            value=f"{settings().tracking_uri}: {(str(error).splitlines() or [type(error).__name__])[0][:300]}",
            next_step=_way_out(str(error), refused),
        ) from error


def _way_out(said: str, refused: bool) -> str:
    if _OLD_SCHEMA in said:  # MLflow was upgraded: it never changes a database by itself
        return f"keep a copy of the database, then: {sys.executable} -m mlflow db upgrade {settings().tracking_uri}"
    if refused:
        return "ecclip registry rebuild, if something was deleted or renamed there"
    return "start it (make up) or set ECCLIP_MLFLOW_TRACKING_URI, then run again"


def aliases(store: MlflowClient) -> dict[str, str]:
    """Return alias to version of the registered model; empty before the first registration."""
    from mlflow.exceptions import MlflowException

    try:
        model = store.get_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: str(version) for alias, version in model.aliases.items()}


def experiment_id(store: MlflowClient) -> str:
    """Return the id of the experiment, created on first use; a local store keeps its artifacts beside it.

    One that a person deleted comes back: no night could be entered without it.
    """
    found = store.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            store.restore_experiment(found.experiment_id)
            get_logger().warning("the deleted experiment is restored", experiment=EXPERIMENT)
        return str(found.experiment_id)
    local = settings().tracking_uri.startswith("sqlite:")
    with locked(settings().work / "run" / "experiment.lock", "the experiment"):
        found = store.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(store.create_experiment(EXPERIMENT, artifact_location=ROOT if local else None))


def log_batches(store: MlflowClient, run_id: str, metrics: Sequence[Metric] = (), params: Sequence[Param] = ()) -> None:
    """Log metrics and parameters of a run in requests small enough for every server."""
    for first in range(0, len(metrics), _METRICS_PER_REQUEST):
        store.log_batch(run_id, metrics=metrics[first : first + _METRICS_PER_REQUEST])
    for first in range(0, len(params), _PARAMS_PER_REQUEST):
        store.log_batch(run_id, params=params[first : first + _PARAMS_PER_REQUEST])


@lru_cache(maxsize=4)
def _connect(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    if not uri.startswith("sqlite:"):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    # the first connection creates the tables: two at once would collide
    with locked(settings().work / "run" / "mlflow.lock", "the first connection to the registry"):
        (settings().work / "mlflow").mkdir(parents=True, exist_ok=True)
        store = MlflowClient(tracking_uri=uri, registry_uri=uri)
        store.search_experiments(max_results=1)
        store.search_registered_models(max_results=1)
        name_artifacts_by_store(Path(uri.removeprefix("sqlite:///")), EXPERIMENT)
    find_own_artifacts()
    return store
