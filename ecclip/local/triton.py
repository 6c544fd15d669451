"""The embedded Triton as one of the local services."""

from __future__ import annotations

import os
import signal
import sys
import threading

from ecclip.core import patient, settings
from ecclip.core.services import Services

SUPERVISOR = "triton-supervisor"
_GRACE_S = 60.0  # it ends the server itself, after pending requests; by judgment


def start_triton() -> str:
    """Start the embedded server under its supervisor, or find them running, and return its gRPC address.

    It starts with an empty model repository, too: before the first deployment there is no model. The supervisor
    (``ecclip serve``) restarts it whenever it dies or hangs, until ``down``.

    Raises:
        ServiceError: it does not come up.
    """
    from ecclip.serving import EmbeddedServer

    if Services().find(SUPERVISOR) is None:
        environment = dict(os.environ, ECCLIP_WORKSPACE=str(settings().workspace.resolve()))
        Services().start(SUPERVISOR, [sys.executable, "-m", "ecclip", "serve"], environment)
    return EmbeddedServer().start().address  # the supervisor, or this process if it is first


def stop_triton() -> bool:
    """Stop the embedded server with its stubs and its supervisor; return whether anything ran."""
    from ecclip.serving import EmbeddedServer

    supervised = Services().stop(SUPERVISOR, grace_s=patient(_GRACE_S))
    return EmbeddedServer().stop() or supervised


def triton_is_supervised() -> bool:
    """Return whether the server is supervised: by this workspace's supervisor, or because it runs elsewhere."""
    return bool(settings().triton_addresses) or Services().find(SUPERVISOR) is not None


def triton_address() -> str | None:
    """Return the gRPC address of the running server, or None."""
    if settings().triton_address:
        return settings().triton_address
    from ecclip.serving import EmbeddedServer

    process = EmbeddedServer().attach()
    return process.address if process else None


def triton_metrics() -> str | None:
    """Return the URL of the running embedded server's metrics, or None: a server elsewhere has its own."""
    from ecclip.serving import EmbeddedServer

    process = None if settings().triton_addresses else EmbeddedServer().attach()
    return f"http://{process.metrics_address}/metrics" if process else None


def serve() -> None:
    """Supervise the embedded server until SIGTERM or Ctrl-C: it is restarted whenever it dies or does not answer."""
    from ecclip.serving import EmbeddedServer

    stopped, server, stays = _until_stopped(), EmbeddedServer(), True
    try:
        stays = server.supervise(stopped)
    finally:
        if stays:
            server.stop()


def reconcile_servers(every_s: float | None = None) -> dict[str, str]:
    """Bring every server to what ``live.json`` names; return of each address what was found, in words.

    With ``every_s`` it does so again after so many seconds, until SIGTERM or Ctrl-C, and errors are logged only.

    Raises:
        ServiceError: a server does not answer, or not from what is live.
    """
    from ecclip import serving

    if every_s is not None:
        serving.watch_servers(_until_stopped(), every_s)
        return {}
    servers = serving.reconcile_servers()
    serving.require_reconciled(servers)
    return {server.address: server.repaired or "answers from what is live" for server in servers}


def _until_stopped() -> threading.Event:
    """Return an event that SIGTERM or Ctrl-C sets."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped
