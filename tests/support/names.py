"""Names of hosts for a test: all lead to this machine, and some to nowhere, for as long as the test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def local_names(monkeypatch: pytest.MonkeyPatch, hanging: str = "", unknown: str = "") -> Iterator[threading.Event]:
    """Let names that end in ``.test`` be 127.0.0.1, but for one that is ``unknown``.

    Looking up ``hanging`` waits for the event that is yielded.
    """
    real, found = socket.getaddrinfo, threading.Event()

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if hanging and host == hanging:
            found.wait()
        if unknown and host == unknown:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1" if str(host).endswith(".test") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        yield found
    finally:
        found.set()
