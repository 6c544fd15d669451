"""Hosts and stores that hold what they are asked for: each costs its own time, and nobody else's photos."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from dumps import picture
from fsspec.spec import AbstractFileSystem
from landing import land_uris, reasons
from names import local_names
from photo_server import photo_server

PHOTO = picture(1)


class _Endless(io.RawIOBase):
    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            raise MemoryError("all of an object without end was asked for")
        return bytes(size)


class _Store(AbstractFileSystem):  # type: ignore[misc]
    """A remote store: what lies under ``held`` is never given out, and what lies under ``endless`` never ends."""

    protocol = "store"
    cachable = False
    opened: list[str]
    release: threading.Event

    def ukey(self, path: str) -> str:
        return path

    def open(self, path: str, *_: Any, **__: Any) -> Any:
        self.opened.append(path)
        if "held" in path:
            self.release.wait()
        return _Endless() if "endless" in path else io.BytesIO(PHOTO)


@pytest.fixture
def store() -> Iterator[type[_Store]]:
    _Store.opened, _Store.release = [], threading.Event()
    fsspec.register_implementation("store", _Store, clobber=True)
    yield _Store
    _Store.release.set()


@pytest.mark.parametrize(("limit", "reason"), [("host_s", "host_too_slow"), ("night_s", "out_of_time")])
def test_a_store_that_gives_nothing_out_is_left_when_its_time_is_over(
    tmp_path: Path, store: type[_Store], limit: str, reason: str
) -> None:
    """Also by the process, which does not wait in the end for the thread that hangs."""
    before = set(threading.enumerate())
    uris = ["store://a/held.jpg", "store://a/next.jpg"]
    land_uris(tmp_path, uris, allowed_schemes=["store"], host_connections=1, **{limit: 0.3})
    assert reasons(tmp_path / "1") == dict.fromkeys(uris, reason)
    assert {*store.opened} <= {"a/held.jpg"}
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    assert not store.release.is_set()


def test_an_object_without_end_is_read_to_the_limit(tmp_path: Path, store: type[_Store]) -> None:
    uris = ["store://a/endless.jpg", "store://a/next.jpg"]
    land_uris(tmp_path, uris, allowed_schemes=["store"])
    assert reasons(tmp_path / "1") == dict(zip(uris, ["too_large", None], strict=True))


def test_a_host_that_is_given_up_costs_no_photo_of_another(tmp_path: Path) -> None:
    with photo_server() as server:
        server.photos = {"a.jpg": PHOTO}
        gone, there = "http://127.0.0.1:1/a.jpg", server.address("a.jpg")  # the one before the other
        land_uris(tmp_path, [gone, there], attempts=1, host_failures=1, connections=1)
    assert reasons(tmp_path / "1") == {gone: "host_unreachable", there: None}


def test_every_attempt_that_meets_silence_counts_once(tmp_path: Path) -> None:
    uris = [f"http://127.0.0.1:1/{name}.jpg" for name in "abc"]
    land_uris(tmp_path, uris, attempts=2, host_failures=5, host_connections=1)
    assert list(reasons(tmp_path / "1").values()) == ["fetch_failed", "fetch_failed", "host_unreachable"]


def test_the_pause_before_another_attempt_ends_with_the_time_of_the_host(tmp_path: Path) -> None:
    with photo_server() as server:
        land_uris(tmp_path, [server.address("broken/a.jpg")], attempts=2, backoff_s=3600.0, host_s=0.3)
        assert reasons(tmp_path / "1") == {server.address("broken/a.jpg"): "host_too_slow"}
        assert server.asked == {"broken/a.jpg": 1}


def test_what_hangs_over_http_ends_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with photo_server() as server:
        held = server.address("held/a.jpg")
        land_uris(tmp_path, [held], host_s=0.3, timeout_s=3600.0)
        assert reasons(tmp_path / "1") == {held: "host_too_slow"}
    with local_names(monkeypatch, hanging="hangs.test") as found:
        land_uris(tmp_path, ["http://hangs.test/a.jpg"], night="2", attempts=1, timeout_s=0.3)
        assert not found.is_set()
    assert reasons(tmp_path / "2") == {"http://hangs.test/a.jpg": "fetch_timeout"}


def test_a_host_that_takes_no_connection_is_left_after_the_time_for_that(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        with contextlib.suppress(TimeoutError):  # until nobody is let in any more
            while True:
                held.enter_context(socket.create_connection(listening.getsockname(), timeout=0.2))
        uri = f"http://127.0.0.1:{listening.getsockname()[1]}/a.jpg"
        land_uris(tmp_path, [uri], attempts=1, connect_s=0.3, timeout_s=3600.0)
    assert reasons(tmp_path / "1") == {uri: "fetch_timeout"}
