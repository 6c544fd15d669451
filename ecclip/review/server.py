"""The process that serves the page: on loopback, until it is interrupted."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ecclip.core import ServiceError, write_atomic
from ecclip.review.access import Access
from ecclip.review.app import review_app
from ecclip.review.desk import Desk

_LOOPBACK = "127.0.0.1"


def serve_page(desk: Desk, port: int, folder: Path, tell: Callable[[str], object]) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        desk: whose page it is.
        port: 0 takes a free one.
        folder: where the address, token included, is kept for this user alone while the page is served
            (``review-<port>.url``).
        tell: told the address as soon as the port answers.

    Raises:
        ServiceError: the port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
        except OSError as error:
            raise ServiceError(
                "the page cannot listen on this port",
                value=port,
                limit=error.strerror,
                next_step="ecclip review --port 0",
            ) from error
        listener.listen()
        bound = listener.getsockname()[1]
        access = Access(bound)
        url = f"http://{_LOOPBACK}:{bound}/?token={access.token}"
        kept = folder / f"review-{bound}.url"
        signal.signal(signal.SIGTERM, _end)  # uvicorn raises a signal again once it has stopped
        try:
            write_atomic(kept, f"{url}\n", 0o600)
            tell(url)
            uvicorn.Server(_config(review_app(desk, access))).run(sockets=[listener])
        except KeyboardInterrupt:
            return
        finally:
            kept.unlink(missing_ok=True)


def _config(app: FastAPI) -> uvicorn.Config:
    """Return a server without an access log: an address may hold the token."""
    return uvicorn.Config(
        app, lifespan="off", access_log=False, log_level="warning", server_header=False, proxy_headers=False
    )


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)
