"""The watcher of @champion fires for what a person asks, once, and never for what the system does itself."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS, mlflow_client
from server_tables import ServerTable

from ecclip import release
from ecclip.core import settings

NIGHTS = ("2026-11-01", "2026-11-02", "2026-11-03")

pytestmark = pytest.mark.filterwarnings(*MLFLOW_WARNINGS)


def _register(workspace: Path, night: str) -> str:
    bundle = workspace / "work" / "nights" / night / "bundle"
    write_bundle(bundle, night, seed=int(night[-2:]))
    return str(release.register_night(night)["version"])


def _promote(night: str) -> None:
    for step in (release.gate_night, release.bless_night, release.promote_night):
        step(night)


def _watch() -> AsyncIterator[Any]:
    from ecclip.orchestration import AliasTrigger

    path, arguments = AliasTrigger(poke_s=0.01).serialize()
    module, name = path.rsplit(".", 1)
    return aiter(getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments))).run())


def test_each_wish_starts_one_run_and_a_restart_finds_what_was_missed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(workspace / "airflow"))  # read when Airflow is first imported
    settings.cache_clear()
    (workspace / "params.yaml").write_text("gate: {metrics: {category/both/top1: {floor: 0.5}}}\n")
    ServerTable().install(monkeypatch)
    first, second, third = (_register(workspace, night) for night in NIGHTS)
    _promote(NIGHTS[0])

    async def wishes() -> list[str]:
        watching, seen = _watch(), []
        _promote(NIGHTS[1])  # the system's own move
        for wish in (third, first, third):
            mlflow_client().set_registered_model_alias("ecclip", "champion", wish)
            seen.append((await anext(watching)).payload["version"])
            if wish != third:
                release.reconcile()
        mlflow_client().set_registered_model_alias("ecclip", "champion", second)
        seen.append((await anext(_watch())).payload["version"])  # of a triggerer that was down meanwhile
        return seen

    assert asyncio.run(wishes()) == [third, first, third, second]
