"""Real Airflow processes in a throwaway workspace: up, a run over REST, down."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ecclip.core import ServiceError, settings
from ecclip.local import _services as services
from ecclip.local import airflow_api
from ecclip.local._airflow import COMPONENTS, POOLS
from ecclip.local._follow import NightView, TaskView, follow_night, trigger_night
from ecclip.local._processes import read_service

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("workspace")
    for name in ("dags", "params.yaml"):
        (folder / name).symlink_to(ROOT / name)
    before = os.environ.get("ECCLIP_WORKSPACE")
    os.environ["ECCLIP_WORKSPACE"] = str(folder)
    settings.cache_clear()
    yield folder
    services.stop_services((services.AIRFLOW,))
    if before is None:
        del os.environ["ECCLIP_WORKSPACE"]
    else:
        os.environ["ECCLIP_WORKSPACE"] = before
    settings.cache_clear()


@pytest.mark.fault(35)
@pytest.mark.usefixtures("workspace")
def test_airflow_comes_up_fails_a_night_without_a_dump_at_once_and_goes_down() -> None:
    first = services.start_services((services.AIRFLOW,))
    assert first.started == (services.AIRFLOW,)
    assert services.start_services((services.AIRFLOW,)).started == (), "a second start finds it"
    api = airflow_api()
    assert POOLS.items() <= {pool["name"]: pool["slots"] for pool in api.get("pools")["pools"]}.items()

    seen: list[tuple[str, str, int]] = []

    def show(_: NightView, task: TaskView) -> None:
        seen.append((task.task, task.state, task.attempt))

    with pytest.raises(ServiceError, match=r"nightly_catalog\.land failed for the night 2026-11-01") as failure:
        follow_night(api, "2026-11-01", trigger_night(api, "2026-11-01"), show)
    assert "an input is missing" in str(failure.value)
    assert "attempt=1.log" in failure.value.next_step
    assert {attempt for _, _, attempt in seen} == {1}, "a missing dump is not tried again"

    pids = [service.pid for name in COMPONENTS if (service := read_service(name))]
    everyone = [*pids, *(child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True))]
    listening = [link for link in psutil.net_connections("tcp") if link.pid in everyone and link.status == "LISTEN"]
    assert {link.laddr.ip for link in listening} == {"127.0.0.1"}, listening
    assert services.stop_services((services.AIRFLOW,)) == [services.AIRFLOW]
    assert [pid for pid in everyone if psutil.pid_exists(pid)] == []
    assert services.status()["airflow"]["state"] == "stopped"
