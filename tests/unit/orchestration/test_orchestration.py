"""What the DAGs add to Airflow: looks up to a deadline, and alerts that nothing of a dump can steer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import yaml

from ecclip.core import ConfigError, GateError, now, settings


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))  # read when Airflow is first imported
    settings.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    settings.cache_clear()


NIGHT = "2026-11-01"


def params(workspace: Path, **source: Any) -> None:
    (workspace / "params.yaml").write_text(yaml.safe_dump({"source": source}))


def fire(trigger: Any) -> dict[str, Any]:
    async def first() -> Any:
        async for event in trigger.run():
            return event.payload
        raise AssertionError("the trigger ended without an event")

    return dict(asyncio.run(first()))


def trigger(wait_s: float = 600.0) -> Any:
    from ecclip.orchestration import DumpTrigger

    return DumpTrigger(NIGHT, (now() + timedelta(seconds=wait_s)).isoformat(), 0.01)


def test_a_trigger_is_made_again_elsewhere_from_what_it_says_with_the_same_deadline() -> None:
    import importlib

    made = trigger()
    path, arguments = made.serialize()
    module, name = path.rsplit(".", 1)
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert (again.night, again.deadline, again.poke_s) == (made.night, made.deadline, made.poke_s)


def test_it_fires_when_the_marker_is_there_and_reads_the_source_at_every_look(workspace: Path) -> None:
    params(workspace, where="nowhere/{night}")
    late = workspace / "exports" / NIGHT
    late.mkdir(parents=True)
    (late / "_SUCCESS").touch()
    fix = threading.Timer(0.2, lambda: params(workspace, where="exports/{night}"))
    fix.start()
    assert fire(trigger()) == {"reason": "", "next_step": ""}
    fix.join()


def test_it_fires_with_the_reason_at_the_deadline(workspace: Path) -> None:
    params(workspace)
    assert fire(trigger(wait_s=-1)) == {"reason": "nothing is there", "next_step": ""}
    (workspace / "work" / "dumps" / NIGHT).mkdir(parents=True)
    assert "no _SUCCESS or manifest.json" in fire(trigger(wait_s=-1))["reason"]


def test_a_wrong_setting_is_not_waited_for(workspace: Path) -> None:
    params(workspace, where="carrier-pigeon://loft/{night}")
    event = fire(trigger())
    assert "carrier-pigeon" in event["reason"]
    assert "source.where" in event["next_step"]


def _sensor() -> Any:
    from ecclip.orchestration import DumpSensor

    return DumpSensor(task_id="wait_for_dump", night=lambda context: context["night"])


def test_the_sensor_goes_on_at_once_defers_or_fails_for_good(workspace: Path) -> None:
    from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

    params(workspace, wait={"timeout_s": 100, "poke_interval_s": 7})
    with pytest.raises(TaskDeferred) as deferred:
        _sensor().execute({"night": NIGHT})
    assert (deferred.value.trigger.night, deferred.value.trigger.poke_s) == (NIGHT, 7)
    assert deferred.value.timeout > timedelta(seconds=100), "the trigger itself is over before Airflow's own limit"
    with pytest.raises(AirflowFailException, match="did not come in time: nothing is there") as failed:
        _sensor().resume({"night": NIGHT}, {"reason": "nothing is there", "next_step": ""})
    assert "then clear this task" in failed.value.__cause__.next_step  # type: ignore[union-attr]
    (workspace / "work" / "dumps" / NIGHT).mkdir(parents=True)
    (workspace / "work" / "dumps" / NIGHT / "_SUCCESS").touch()
    assert _sensor().execute({"night": NIGHT}) == {"night": NIGHT, "waited": False}
    params(workspace, where="no braces")
    with pytest.raises(AirflowFailException, match="ConfigError"):
        _sensor().execute({"night": NIGHT})


def test_where_the_triggerer_was_down_the_sensor_looks_a_last_time(workspace: Path) -> None:
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
    from airflow.sdk.exceptions import AirflowFailException

    params(workspace)
    over = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
    with pytest.raises(AirflowFailException, match="triggerer"):
        _sensor().resume_execution(TRIGGER_FAIL_REPR, dict(over), {"night": NIGHT})
    (workspace / "work" / "dumps" / NIGHT).mkdir(parents=True)
    (workspace / "work" / "dumps" / NIGHT / "_SUCCESS").touch()
    assert _sensor().resume_execution(TRIGGER_FAIL_REPR, dict(over), {"night": NIGHT})["waited"]


class _Chat(BaseHTTPRequestHandler):
    got: ClassVar[list[dict[str, Any]]] = []
    refusals: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.refusals.pop() if self.refusals else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Chat)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("ECCLIP_ALERT_URL", f"http://127.0.0.1:{server.server_address[1]}/secret-hook")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings.cache_clear()
    _Chat.got.clear()
    _Chat.refusals.clear()
    yield _Chat.got
    server.shutdown()
    thread.join()
    server.server_close()


def notify(error: BaseException | None, night: str = NIGHT) -> None:
    from ecclip.orchestration import Alert

    task = SimpleNamespace(dag_id="nightly_catalog", task_id="check", run_id="r", log_url="http://airflow/log")
    Alert(night=lambda _: night).notify({"ti": task, "exception": error})


def failure(error: Exception) -> Exception:
    outer = RuntimeError(f"GateError: {error}")
    outer.__cause__ = error
    return outer


def test_an_alert_names_dag_task_night_error_and_next_step(chat: list[dict[str, Any]]) -> None:
    notify(failure(GateError("too few rows", value=3, limit=10, next_step="ask the shop")))
    (alert,) = chat
    facts = {name: alert[name] for name in ("dag", "task", "night", "next", "log")}
    assert facts == {
        "dag": "nightly_catalog",
        "task": "check",
        "night": NIGHT,
        "next": "ask the shop",
        "log": "http://airflow/log",
    }
    for words in ("nightly_catalog.check failed for the night 2026-11-01", "too few rows", "next: ask the shop"):
        assert words in alert["text"]


def test_what_ended_without_an_error_has_a_next_step_too(chat: list[dict[str, Any]]) -> None:
    notify(None)
    assert "ended from outside" in chat[0]["text"]
    assert "clear the task" in chat[0]["next"]


def test_nothing_of_a_dump_steers_a_terminal_or_a_chat(
    chat: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    title = "\x1b[2J <!channel> @here <http://evil|click> \u202e" + "x" * 5000
    notify(failure(GateError("a bad title", value=title, next_step="mend it")))
    said = capfd.readouterr()
    for text in (chat[0]["text"], said.out + said.err):
        assert "\x1b[2J" not in text
        assert "\u202e" not in text
    assert "<" not in chat[0]["text"]
    assert "@here" not in chat[0]["text"]
    assert len(chat[0]["text"]) < 3000


def test_a_webhook_that_refuses_is_asked_again_and_then_it_is_an_error_without_its_address(
    chat: list[dict[str, Any]],
) -> None:
    _Chat.refusals.extend([500])
    notify(failure(GateError("x", next_step="mend it")))
    assert len(chat) == 2
    _Chat.refusals.extend([500] * 9)
    with pytest.raises(OSError, match="500") as refused:
        notify(failure(GateError("x", next_step="mend it")))
    assert len(chat) == 5
    assert "secret-hook" not in str(refused.value)


def test_only_http_is_a_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_ALERT_URL", "file:///etc/passwd")
    settings.cache_clear()
    with pytest.raises(ConfigError, match="ECCLIP_ALERT_URL"):
        notify(None)
    assert "passwd" not in repr(settings())
