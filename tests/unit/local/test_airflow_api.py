"""The client waits for a server that is busy, and gives up at once on one that is gone."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ecclip.core import ServiceError, settings
from ecclip.local import AirflowApi, follow_night

# a run whose last task was skipped
_RUN = "/api/v2/dags/nightly_catalog/dagRuns/overtaken"
_TASK = {"dag_id": "nightly_catalog", "dag_run_id": "overtaken", "try_number": 1, "start_date": "2026-11-02T00:00:00Z"}
_TASK |= {"task_id": "promote", "state": "skipped", "duration": 1.0, "end_date": "2026-11-02T00:00:01Z"}
_OVERTAKEN = {_RUN: {"state": "success"}, f"{_RUN}/taskInstances": {"task_instances": [_TASK]}}


class _Handler(BaseHTTPRequestHandler):
    slow_left = 0
    released = threading.Event()

    def _reply(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(201, {"access_token": "token"})

    def do_GET(self) -> None:
        if self.path == "/api/v2/slow" and type(self).slow_left > 0:
            type(self).slow_left -= 1
            type(self).released.wait()  # for longer than the client does
        if "/dagRuns/overtaken" in self.path:
            self._reply(200, _OVERTAKEN[self.path.rpartition("?")[0] or self.path])
            return
        status = 500 if "assets/events" in self.path else 404 if self.path == "/api/v2/missing" else 200
        self._reply(status, {"path": self.path})

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[AirflowApi]:
    _Handler.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield AirflowApi(server.server_address[1], "admin", "secret", timeout_s=0.3 / settings().patience)
    _Handler.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_busy_server_is_asked_again(api: AirflowApi) -> None:
    _Handler.slow_left = 2
    assert api.get("slow") == {"path": "/api/v2/slow"}
    assert _Handler.slow_left == 0


def test_a_refusal_is_an_error_with_its_status(api: AirflowApi) -> None:
    with pytest.raises(ServiceError, match="refused GET") as refused:
        api.get("missing")
    assert refused.value.limit == 404


def test_a_run_that_is_queued_is_not_there_yet(api: AirflowApi) -> None:
    assert api.runs_caused_by("nightly_catalog", "run") == []


def test_a_night_whose_last_task_was_skipped_has_no_next_dag_to_wait_for(api: AirflowApi) -> None:
    shown: list[str] = []
    view = follow_night(api, "2026-11-01", "overtaken", lambda _, task: shown.append(task.state))
    assert shown == ["skipped"]
    assert list(view.tasks) == [("nightly_catalog", "promote")]


def test_a_server_that_is_gone_is_an_error_at_once() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    with pytest.raises(ServiceError, match="does not answer"):
        AirflowApi(port, "admin", "secret").get("dags")
    assert AirflowApi(port, "admin", "secret").health() == {}
