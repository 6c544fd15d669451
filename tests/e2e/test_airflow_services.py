"""Real Airflow processes in a throwaway workspace: up, nights that wait for their dumps, down."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
import yaml
from waiting import lives, wait_until

from ecclip.core import ServiceError, settings
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
from ecclip.local.airflow import COMPONENTS

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
NEVER, LATE = "2026-11-01", "2026-11-02"


class _Chat(BaseHTTPRequestHandler):
    alerts: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.alerts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "dags").symlink_to(ROOT / "dags")
    chat = ThreadingHTTPServer(("127.0.0.1", 0), _Chat)
    thread = threading.Thread(target=chat.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECCLIP_WORKSPACE", str(folder))
        patch.setenv("ECCLIP_ALERT_URL", f"http://127.0.0.1:{chat.server_address[1]}/hook")
        settings.cache_clear()
        yield folder
        stop_services(("airflow",))
    settings.cache_clear()
    chat.shutdown()
    thread.join()
    chat.server_close()


def _wait_for(workspace: Path, **source: Any) -> None:
    (workspace / "params.yaml").write_text(yaml.safe_dump({"source": source}))


@pytest.mark.fault(6)
@pytest.mark.fault(35)
def test_airflow_comes_up_nights_wait_for_their_dumps_and_it_goes_down(workspace: Path) -> None:
    first = start_services(("airflow",))
    assert first.started == ("airflow",)
    assert start_services(("airflow",)).started == (), "a second start finds it"
    api = airflow_api()
    made = {pool["name"]: pool["slots"] for pool in api.get("pools")["pools"]}
    pools = json.loads((ROOT / "dags" / "pools.json").read_text())
    assert {name: pool["slots"] for name, pool in pools.items()}.items() <= made.items()

    seen: list[TaskView] = []
    _wait_for(workspace, wait={"timeout_s": 3, "poke_interval_s": 0.5})
    with pytest.raises(ServiceError, match=rf"nightly_catalog\.wait_for_dump failed for the night {NEVER}") as failure:
        follow_night(api, NEVER, trigger_night(api, NEVER), lambda _, task: seen.append(task))
    assert "did not come in time: nothing is there" in str(failure.value)
    assert "attempt=1.log" in failure.value.next_step
    assert {(task.task, task.attempt) for task in seen} == {("wait_for_dump", 1)}, "the wait was the retry"
    wait_until(lambda: _Chat.alerts, "the alert")  # it is sent after the task has failed
    alert = _Chat.alerts.pop()
    assert (alert["dag"], alert["task"], alert["night"]) == ("nightly_catalog", "wait_for_dump", NEVER)
    assert f"failed for the night {NEVER}" in alert["text"]
    assert "then clear this task" in alert["next"]
    assert alert["next"] in alert["text"]

    _wait_for(workspace, wait={"timeout_s": 600, "poke_interval_s": 0.5})
    late = _LateDump(workspace)
    with pytest.raises(ServiceError, match=rf"nightly_catalog\.land failed for the night {LATE}") as failure:
        follow_night(api, LATE, trigger_night(api, LATE), late.show)
    assert late.states == {"wait_for_dump": "success", "extract": "success", "land": "failed"}
    assert "no listing files" in str(failure.value), "bad content is not waited for"
    assert late.attempts == {1}, "nor tried again"
    wait_until(lambda: _Chat.alerts, "the second alert")
    assert [(alert["task"], alert["night"]) for alert in _Chat.alerts] == [("land", LATE)]

    pids = [service.pid for name in COMPONENTS if (service := Services().find(name))]
    leaders = [psutil.Process(pid) for pid in pids]
    family = [*leaders, *(child for leader in leaders for child in leader.children(recursive=True))]
    everyone = [process.pid for process in family]
    listening = [link for link in psutil.net_connections("tcp") if link.pid in everyone and link.status == "LISTEN"]
    assert {link.laddr.ip for link in listening} == {"127.0.0.1"}, listening
    assert stop_services(("airflow",)) == ["airflow"]
    assert [process for process in family if lives(process)] == []
    assert status()["airflow"]["state"] == "stopped"


class _LateDump:
    """Looks on, and writes the night's dump (a bad one) once the night waits."""

    def __init__(self, workspace: Path) -> None:
        self.folder = workspace / "work" / "dumps" / LATE
        self.states: dict[str, str] = {}
        self.attempts: set[int] = set()

    def show(self, _: NightView, task: TaskView) -> None:
        self.states[task.task] = task.state
        self.attempts.add(task.attempt)
        if (task.task, task.state) == ("wait_for_dump", "deferred"):
            assert not self.folder.exists()
            self.folder.mkdir(parents=True)
            (self.folder / "readme.txt").touch()
            (self.folder / "_SUCCESS").touch()
