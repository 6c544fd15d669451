"""The MLflow UI on this machine: one worker on loopback over the workspace's own store."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

from ecclip.core import settings
from ecclip.core.services import Service, Services

NAME = "mlflow"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def start_mlflow(port: int) -> Service:
    """Start ``mlflow server`` on the store that the stages write."""
    (settings().work / "mlflow").mkdir(parents=True, exist_ok=True)
    env = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    env.update(
        # its job processes outlive a stop and are not needed
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        PYTHONUNBUFFERED="1",
    )
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", settings().tracking_uri]
    command += ["--artifacts-destination", str(settings().work / "mlflow" / "artifacts")]
    command += ["--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"]
    return Services().start(NAME, command, env, port=port)


def mlflow_answers(port: int) -> bool:
    """Return whether the server answers."""
    try:
        with _OPENER.open(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
