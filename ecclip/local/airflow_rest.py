"""A small client of Airflow's REST API v2 on loopback."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from ecclip.core import ServiceError, patient
from ecclip.errors import BusyError

_TIMEOUT_S = 30.0  # of one call; a loaded API server takes seconds
_WARM_UP_LIMIT_S = 240.0  # the first call imports every DAG
_PATIENCE_S = 120.0  # for how long a request without an answer is retried; by judgment
# a proxy of the environment must not see, or break, what goes to loopback
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TOKEN_AGE_S = 1800.0  # after which a new token is fetched; by judgment


class AirflowApi:
    """Airflow's REST API at ``http://127.0.0.1:<port>``, logged in as one user; ``timeout_s`` bounds one call."""

    def __init__(self, port: int, user: str, password: str, timeout_s: float = _TIMEOUT_S) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self._login = {"username": user, "password": password}
        self._token, self._token_since = "", 0.0
        self._timeout_s = timeout_s

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of ``/api/v2/<path>``; retried for a while if a busy server does not answer."""
        deadline = time.monotonic() + patient(_PATIENCE_S)
        while True:
            try:
                return self._call("GET", path, None, query)
            except BusyError:
                if time.monotonic() > deadline:
                    raise

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Create something at ``/api/v2/<path>``."""
        return self._call("POST", path, body, {})

    def patch(self, path: str, body: dict[str, Any], **query: Any) -> Any:
        """Change something at ``/api/v2/<path>``."""
        return self._call("PATCH", path, body, query)

    def delete(self, path: str) -> None:
        """Remove something at ``/api/v2/<path>``, if it exists."""
        try:
            self._call("DELETE", path, None, {})
        except ServiceError as error:
            if error.limit != 404:
                raise

    def health(self) -> dict[str, str]:
        """Return the state of each component, or an empty dict if the server does not answer."""
        try:
            with _OPENER.open(f"{self.base}/api/v2/monitor/health", timeout=patient(self._timeout_s)) as reply:
                return {name: str(state.get("status")) for name, state in json.load(reply).items()}
        except (OSError, ValueError):
            return {}

    def warm_up(self) -> None:
        """Let the server build the API that tasks talk to; it does so at the first request and blocks meanwhile.

        Seconds on an idle machine, a minute on a busy one: longer than a task waits.
        """
        with _OPENER.open(f"{self.base}/execution/health", timeout=patient(_WARM_UP_LIMIT_S)) as reply:
            reply.read()

    def add_pools(self, pools: Mapping[str, Mapping[str, Any]]) -> None:
        """Create missing pools; existing ones keep their slots."""
        known = {pool["name"] for pool in self.get("pools")["pools"]}
        for name, described in pools.items():
            if name not in known:
                self.post("pools", {"name": name, **described})

    def runs_caused_by(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        """Return (dag_id, run_id) of the runs that the asset events of a run have started, so far."""
        try:
            events = self.get("assets/events", source_dag_id=dag_id, source_run_id=run_id)["asset_events"]
        except ServiceError as error:
            # Airflow 3.3 answers 500 while a run that it caused is queued and so has no start date yet
            if error.limit == 500:
                return []
            raise
        return [(run["dag_id"], run["run_id"]) for event in events for run in event["created_dagruns"]]

    def _call(self, method: str, path: str, body: dict[str, Any] | None, query: dict[str, Any]) -> Any:
        if time.monotonic() - self._token_since > _TOKEN_AGE_S or not self._token:
            self._token = self._send("POST", "/auth/token", self._login, {})["access_token"]
            self._token_since = time.monotonic()
        url = f"/api/v2/{path}" + (f"?{urllib.parse.urlencode(query, doseq=True)}" if query else "")
        return self._send(method, url, body, {"Authorization": f"Bearer {self._token}"})

    def _send(self, method: str, url: str, body: dict[str, Any] | None, headers: dict[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.base + url, data, headers, method=method)
        try:
            with _OPENER.open(request, timeout=patient(self._timeout_s)) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:500]
            raise ServiceError(
                f"Airflow refused {method} {url}",
                value=detail,
                limit=error.code,
                next_step="see work/logs/airflow-api-server.log",
            ) from error
        except OSError as error:
            slow = isinstance(getattr(error, "reason", error), TimeoutError)
            raise (BusyError if slow else ServiceError)(
                "Airflow does not answer",
                value=f"{method} {self.base}{url}: {error}",
                next_step="see work/logs/airflow-*.log",
            ) from error
        return json.loads(text) if text else None
