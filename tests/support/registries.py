"""Workspaces with a real, local MLflow store; the store's tables are made once and copied."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from shared import made_once

from ecclip.core import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's own stores use SQLAlchemy in ways that its newest release deprecates
MLFLOW_WARNINGS = ("ignore::sqlalchemy.exc.SADeprecationWarning",)
CHILDREN = Path(__file__).with_name("registry_children.py")


def make_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make ``folder`` the workspace of this process, with an empty registry in it."""
    for name in ("ECCLIP_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    (folder / "work" / "mlflow").mkdir(parents=True)
    shutil.copy(empty_store(), folder / "work" / "mlflow" / "mlflow.db")
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    settings.cache_clear()
    return folder


def mlflow_client() -> MlflowClient:
    """Return MLflow's own client of the configured registry: it sees what a user of its server sees."""
    return _client_of(settings().tracking_uri)


@lru_cache
def _client_of(uri: str) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
    from mlflow import MlflowClient

    from ecclip.registry.tracking.artifacts import find_own_artifacts

    find_own_artifacts()  # as the server of the workspace's own store does, which a test of promises rarely starts
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@lru_cache(maxsize=1)
def empty_store() -> Path:
    """Return MLflow's database without a run and without a version, made once a test run."""
    return made_once("empty-store", _make_store) / "work" / "mlflow" / "mlflow.db"


def _make_store(folder: Path) -> None:
    from ecclip.registry import champion

    before = os.environ.get("ECCLIP_WORKSPACE")
    os.environ["ECCLIP_WORKSPACE"] = str(folder)
    settings.cache_clear()
    try:
        assert champion() is None
    finally:
        os.environ.pop("ECCLIP_WORKSPACE") if before is None else os.environ.update(ECCLIP_WORKSPACE=before)
        settings.cache_clear()


class Children:
    """A process that has imported MLflow once and forks its own process for each job."""

    def __enter__(self) -> Children:
        self._process = subprocess.Popen(
            [sys.executable, str(CHILDREN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def run(self, jobs: list[dict[str, Any]], *, at_once: bool) -> list[dict[str, Any]]:
        """Return what each job answered, or ``{"signal": n}`` where its process was killed; it has the settings of now.

        A job is ``{"workspace", "call": "register"|"deliver"|"set_champion"|"release"|"type", "args"}`` (``type``: the
        words of a command), with ``kill_after``
        (a name of _register, or of Delivery) and ``kill_call`` (which call of it) or ``kill_write`` (which write of
        an alias, a champion, ``live.json`` or the audit file) or ``fail_point`` (a named step) where its process is to
        die. A release asks the workspace's own server with ``with_server``, and a table in its place without.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        of_now = {name: value for name, value in os.environ.items() if name.startswith("ECCLIP_")}
        order = {"jobs": [{"settings": of_now, **job} for job in jobs], "at_once": at_once}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("["):
                return list(json.loads(line))
        raise AssertionError("the process of the children ended")
