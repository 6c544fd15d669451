"""Where the workspace's own store keeps artifacts: named relative to the store, so that a workspace may be moved.

MLflow would write full paths into its database. Instead artifacts are named as those of a server that serves them
itself (``mlflow-artifacts:/``); the server of ``make up`` finds them below its destination, which is this folder, and
this process finds them without a server.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ecclip.core import get_logger, settings

ROOT = "mlflow-artifacts:/"
_SCHEME = "mlflow-artifacts"
_FIRST = "Default"  # of MLflow's own experiment
_COLUMNS = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"))


def own_folder(location: str) -> Path | None:
    """Return the folder that an artifact location of the workspace's own store means; None for any other location."""
    if not settings().tracking_uri.startswith("sqlite:") or not location.startswith(ROOT):
        return None
    return settings().work / "mlflow" / "artifacts" / unquote(urlsplit(location).path).lstrip("/")


def find_own_artifacts() -> None:
    """Teach MLflow in this process to find artifacts of the workspace's own store without a server."""
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    def found(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
        folder = own_folder(artifact_uri) if tracking_uri in (None, settings().tracking_uri) else None
        if folder is None:
            return MlflowArtifactsRepository(artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri)
        return LocalArtifactRepository(folder.as_uri(), tracking_uri=tracking_uri, registry_uri=registry_uri)

    _artifact_repository_registry.register(_SCHEME, found)


def name_artifacts_by_store(database: Path, experiment: str) -> None:
    """Rename what an older ecclip entered by full paths, those below the artifact folder of its experiment.

    MLflow's own first experiment, which nothing here uses, was entered by the folder of whoever came first.
    """
    with closing(sqlite3.connect(database, timeout=60)) as store, store:
        local = "artifact_location LIKE 'file:%' OR artifact_location LIKE '/%'"
        places = dict(store.execute(f"SELECT name, artifact_location FROM experiments WHERE {local}"))
        if experiment in places:
            _rename_below(store, places[experiment].rstrip("/"))
        if _FIRST in places:
            store.execute("UPDATE experiments SET artifact_location = ? WHERE name = ?", (f"{ROOT}0", _FIRST))


def _rename_below(store: sqlite3.Connection, old: str) -> None:
    for table, column in _COLUMNS:
        store.execute(
            f"UPDATE {table} SET {column} = ? || ltrim(substr({column}, ?), '/') "
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (ROOT, len(old) + 1, old, len(old) + 1, f"{old}/"),
        )
    get_logger().info("artifacts are named by their store, no more by full paths", before=old)
