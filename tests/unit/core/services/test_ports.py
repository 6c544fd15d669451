"""A port that was asked for is free, or the reason is told before a server is started; a free one stays the same."""

from __future__ import annotations

import socket

import pytest

from ecclip.core import ConfigError, ServiceError
from ecclip.core.services import choose_port

NAME, SEED = "ECCLIP_TRITON_PORT", "a seed of this test"


def test_a_port_that_is_taken_or_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv(NAME, str(port))
        with pytest.raises(ServiceError, match=f"{NAME}={port}"):
            choose_port(SEED, 0, NAME)
    for value in ("0", "70000", "https"):
        monkeypatch.setenv(NAME, value)
        with pytest.raises(ConfigError, match="1 to 65535"):
            choose_port(SEED, 0, NAME)


def test_a_given_port_that_is_free_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    port = choose_port(SEED, 0)
    monkeypatch.setenv(NAME, str(port))
    assert choose_port("another seed", 1, NAME) == port


def test_services_of_one_seed_have_ports_of_their_own_and_others_than_those_that_are_taken() -> None:
    ports = [choose_port("a seed of services", slot) for slot in range(4)]
    assert len(set(ports)) == 4
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[2]))
        taken.listen()
        again = [choose_port("a seed of services", slot) for slot in (2, 3)]
    assert again[0] not in ports
    assert again[1] == ports[3]
