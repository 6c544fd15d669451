"""A registry that is down, hung or broken stops promotion and training's start; it is never taken for an empty one."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS, make_workspace

from ecclip import registry
from ecclip.core import ServiceError, settings
from ecclip.registry import GateConfig, StartConfig

NIGHT = "2026-11-01"

pytestmark = pytest.mark.filterwarnings(*MLFLOW_WARNINGS)


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    make_workspace(tmp_path / "workspace", monkeypatch)
    yield registry.register(write_bundle(tmp_path / "bundle", NIGHT), NIGHT).version
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(params=["refused", "hung"])
def silent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, version: str) -> Iterator[str]:
    """Point the settings at a server that takes no connections, or takes them and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "hung":
            listener.listen()
        monkeypatch.setenv("ECCLIP_MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        settings.cache_clear()
        yield version


def _start(output: Path) -> None:
    snapshot = settings().work / "snapshots" / NIGHT
    snapshot.mkdir(parents=True)
    (snapshot / "statistics.json").write_text("{}")
    registry.start(cfg=StartConfig(), snapshot=snapshot, output=output)


@pytest.mark.fault(24)
def test_a_silent_registry_passes_no_version_and_says_why(silent: str) -> None:
    verdict = registry.check_gate(GateConfig(), silent)
    assert not verdict.passed
    assert "registry does not answer" in verdict.reasons[0]


@pytest.mark.fault(24)
def test_a_silent_registry_is_not_taken_for_one_without_a_champion(silent: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="registry does not answer"):
        _start(tmp_path / "start")
    assert not (tmp_path / "start").exists()
    with pytest.raises(ServiceError, match="registry does not answer"):
        registry.set_champion(silent, "test")


@pytest.mark.fault(24)
@pytest.mark.usefixtures("version")
def test_a_broken_store_is_not_taken_for_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = shutil.copytree(tmp_path / "workspace", tmp_path / "later")  # this process is connected to the first one
    (later / "work" / "mlflow" / "mlflow.db").write_bytes(b"not a database " * 4096)
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(later))
    settings.cache_clear()
    with pytest.raises(ServiceError, match="registry does not answer"):
        _start(tmp_path / "start")
