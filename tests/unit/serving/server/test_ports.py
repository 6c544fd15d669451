"""A port that was asked for is free, or the reason is told before a server is started."""

from __future__ import annotations

import socket

import pytest

from ecclip.core import ConfigError, ServiceError
from ecclip.serving.server.processes import free_ports, given_port

NAME = "ECCLIP_TRITON_PORT"


def test_a_port_that_is_taken_or_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_port(NAME) is None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv(NAME, str(port))
        with pytest.raises(ServiceError, match=f"{NAME}={port}"):
            given_port(NAME)
    for value in ("0", "70000", "https"):
        monkeypatch.setenv(NAME, value)
        with pytest.raises(ConfigError, match="1 to 65535"):
            given_port(NAME)


def test_a_free_port_is_taken_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports("a seed of this test", 1)
    monkeypatch.setenv(NAME, str(port))
    assert given_port(NAME) == port
