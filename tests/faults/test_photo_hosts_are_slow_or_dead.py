"""Hosts of photos that hold, trickle, lead in circles or are gone: the night ends, and every other photo is landed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from dumps import picture
from landing import dump_of, land_uris, reasons
from names import local_names
from photo_server import PhotoServer, photo_server
from waiting import wait_until

from ecclip.catalog.land.stage import LandConfig, land

pytestmark = pytest.mark.fault(40)
PHOTO = picture(1)


@pytest.fixture
def server() -> Iterator[PhotoServer]:
    with photo_server() as served:
        yield served


@pytest.mark.parametrize("behaviour", ["held", "trickle", "round"])
def test_a_host_that_never_gives_a_photo_is_given_up_after_its_failures(
    tmp_path: Path, server: PhotoServer, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    dead = [f"http://h{host}.test:{server.server_port}/{behaviour}/{n}.jpg" for host in range(10) for n in range(96)]
    good = [f"http://good.test:{server.server_port}/{n}.jpg" for n in range(40)]
    server.photos = {f"{n}.jpg": picture(n) for n in range(40)}
    options = {"timeout_s": 6.0, "host_failures": 3, "host_connections": 3, "connections": 32}
    with local_names(monkeypatch):
        report = land_uris(tmp_path, [*dead, *good], **options)
    assert report.written["photos"] == 40
    found = Counter(error for uri, error in reasons(tmp_path / "1").items() if uri in dead)
    assert sum(found.values()) == 960
    assert found.keys() <= {"host_unreachable", "fetch_failed"}
    assert found["host_unreachable"] >= 960 - 10 * (3 + 3)
    asked = sum(count for path, count in server.asked.items() if path.startswith(behaviour))
    assert asked <= 10 * (3 + 3) * (LandConfig().fetch.max_redirects + 1 if behaviour == "round" else 1)


def test_a_thousand_hosts_that_are_gone_cost_no_photo_of_one_that_is_there(
    tmp_path: Path, server: PhotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.photos = {f"{n}.jpg": picture(n) for n in range(20)}
    gone = [f"http://h{host}.test:1/a.jpg" for host in range(1000)]
    good = [f"http://zzz.test:{server.server_port}/{n}.jpg" for n in range(20)]
    with local_names(monkeypatch):
        report = land_uris(tmp_path, [*gone, *good], attempts=2)
    assert report.written["photos"] == 20
    assert report.dropped == {"fetch_failed": 1000}


def test_the_night_stops_fetching_when_its_time_is_over(tmp_path: Path, server: PhotoServer) -> None:
    uris = [server.address(f"held/{n}.jpg") for n in range(200)]
    report = land_uris(tmp_path, uris, night_s=1.0, timeout_s=3600.0)
    assert report.dropped == {"out_of_time": 200}
    assert sum(server.asked.values()) <= LandConfig().fetch.host_connections


def test_a_host_whose_time_is_over_is_too_slow(tmp_path: Path, server: PhotoServer) -> None:
    uris = [server.address(f"trickle/{n}.jpg") for n in range(50)]
    report = land_uris(tmp_path, uris, host_s=1.0, timeout_s=3600.0)
    assert report.dropped == {"host_too_slow": 50}


def test_a_name_whose_look_up_hangs_holds_up_its_own_photos(
    tmp_path: Path, server: PhotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.photos = {"a.jpg": PHOTO}
    uris = [f"http://hangs.test/{n}.jpg" for n in range(30)] + [f"http://good.test:{server.server_port}/a.jpg"]
    with local_names(monkeypatch, hanging="hangs.test") as found:
        report = land_uris(tmp_path, uris, timeout_s=6.0, attempts=1, host_failures=1, host_connections=1)
        assert not found.is_set()
    assert report.written["photos"] == 1
    assert report.dropped == {"host_unreachable": 30}


def test_what_was_out_of_reach_is_asked_for_again_the_next_night(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {f"held/{n}.jpg": picture(n) for n in range(20)}
    uris = [server.address(name) for name in server.photos]
    first = land_uris(tmp_path, uris, timeout_s=2.0, host_failures=2)
    assert first.dropped == {"host_unreachable": 20}
    server.release.set()
    assert land_uris(tmp_path, uris, night="2", previous="1").written["photos"] == 20


def test_photos_beyond_what_may_wait_on_disk_come_the_next_night(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {f"{n}.jpg": picture(n) for n in range(12)}
    uris = [server.address(name) for name in server.photos]
    options = {"host_connections": 1, "spool_bytes": 3 * len(PHOTO)}
    first = land_uris(tmp_path, uris, **options)
    assert 0 < first.dropped["spool_full"] < 12
    second = land_uris(tmp_path, uris, night="2", previous="1", **options | {"spool_bytes": 1 << 20})
    assert second.written["photos"] == 12


_LAND = """
import sys
from pathlib import Path
from ecclip.catalog.land.stage import LandConfig, land
dump, previous, output = map(Path, sys.argv[1:4])
land(LandConfig.model_validate({"fetch": {"allow_private_networks": True}}), dump, previous, output)
"""


def test_what_a_killed_attempt_had_fetched_is_not_fetched_again(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {f"{n}.jpg": picture(n) for n in range(20)} | {"held/last.jpg": PHOTO}
    uris = [server.address(name) for name in server.photos]
    dump, none = dump_of(tmp_path / "dump", uris), tmp_path / "none"
    none.mkdir()
    words = [sys.executable, "-c", _LAND, *map(str, (dump, none, tmp_path / "1"))]
    spool = tmp_path / ".1.fetched" / "photos.sqlite"
    with subprocess.Popen(words, env={**os.environ, "ECCLIP_LOG_LEVEL": "ERROR"}) as child:
        wait_until(lambda: _images(spool) == 20, "twenty fetched photos on disk")
        wait_until(lambda: server.asked["held/last.jpg"], "the question for the last photo")
        child.send_signal(signal.SIGKILL)
    assert not (tmp_path / "1").exists()
    server.release.set()
    report = land(LandConfig.model_validate({"fetch": {"allow_private_networks": True}}), dump, none, tmp_path / "1")
    assert report.written["photos"] == 21
    assert {name: count for name, count in server.asked.items() if count > 1} == {"held/last.jpg": 2}
    undisturbed = land(
        LandConfig.model_validate({"fetch": {"allow_private_networks": True}}), dump, none, tmp_path / "2"
    )
    assert undisturbed.digest == report.digest
    assert [path for path in tmp_path.glob(".*") if "fetched" in path.name or "tmp" in path.name] == []


@pytest.mark.parametrize("damage", [b"", b"no database at all", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_store_of_fetched_photos_is_fetched_anew(tmp_path: Path, server: PhotoServer, damage: bytes) -> None:
    server.photos = {"a.jpg": PHOTO}
    spool = tmp_path / ".1.fetched" / "photos.sqlite"
    spool.parent.mkdir()
    spool.write_bytes(damage)
    assert land_uris(tmp_path, [server.address("a.jpg")]).written["photos"] == 1


def _images(spool: Path) -> int:
    if not spool.is_file():
        return 0
    database = sqlite3.connect(f"file:{spool}?mode=ro", uri=True)
    try:
        return int(database.execute("select count(image) from fetched").fetchone()[0])
    except sqlite3.OperationalError:  # not yet made
        return 0
    finally:
        database.close()
