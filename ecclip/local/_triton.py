"""The embedded Triton as one of the local services."""

from __future__ import annotations

import signal
import threading

from ecclip.core import settings


def start_triton() -> str:
    """Start the embedded server, or find it running, and return its gRPC address.

    It starts with an empty model repository too: before the first deployment it answers for no model.

    Raises:
        ServiceError: it does not come up.
    """
    from ecclip.serving import EmbeddedServer

    return EmbeddedServer().start().address


def stop_triton() -> bool:
    """Stop the embedded server with its stubs; return whether it ran."""
    from ecclip.serving import EmbeddedServer

    server = EmbeddedServer()
    ran = server.attach() is not None
    server.stop()
    return ran


def triton_address() -> str | None:
    """Return the gRPC address of the running server, or None."""
    if settings().triton_address:
        return settings().triton_address
    from ecclip.serving import EmbeddedServer

    process = EmbeddedServer().attach()
    return process.address if process else None


def serve() -> None:
    """Keep the embedded server up until SIGTERM or Ctrl-C: it is started again whenever it dies or does not answer."""
    from ecclip.serving import EmbeddedServer

    stopped, server = threading.Event(), EmbeddedServer()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server.supervise(stopped)
    finally:
        server.stop()
