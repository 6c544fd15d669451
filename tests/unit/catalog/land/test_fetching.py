"""Photos by address: fetched at once and in order, again where a server stumbles, and from nowhere that is refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from dumps import picture, write_dump
from landing import land_uris, photos, reasons
from names import local_names
from photo_server import PhotoServer, photo_server
from waiting import wait_until

from ecclip.catalog.land import addresses
from ecclip.catalog.land.stage import LandConfig, land

PHOTO = picture(1)


@pytest.fixture
def server() -> Iterator[PhotoServer]:
    with photo_server() as served:
        yield served


def test_photos_of_servers_and_of_the_dump_are_landed_side_by_side(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {f"{n}.jpg": picture(n) for n in range(5)}
    uris = [server.address(name) for name in server.photos]
    report = land_uris(tmp_path, [*uris, server.address("none.jpg")])
    assert photos(tmp_path / "1") == {server.address(name): image for name, image in server.photos.items()}
    assert report.dropped == {"missing": 1}


def test_many_are_fetched_at_once_but_no_more_than_allowed(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {f"slow/{n}.jpg": PHOTO for n in range(24)}
    server.crowd = 6
    report = land_uris(tmp_path, [server.address(name) for name in server.photos], connections=6)
    assert report.written["photos"] == 24
    assert server.most_flying == 6


def test_a_server_that_stumbles_is_asked_again_and_one_that_is_down_is_given_up(
    tmp_path: Path, server: PhotoServer
) -> None:
    server.photos = {"flaky/a.jpg": PHOTO, "cut/b.jpg": PHOTO}
    uris = {name: server.address(name) for name in ("flaky/a.jpg", "cut/b.jpg", "broken/c.jpg")}
    land_uris(tmp_path, list(uris.values()), attempts=3)
    assert reasons(tmp_path / "1") == {
        uris["flaky/a.jpg"]: None, uris["cut/b.jpg"]: None, uris["broken/c.jpg"]: "fetch_failed"
    }  # fmt: skip
    assert server.asked == {"flaky/a.jpg": 3, "cut/b.jpg": 2, "broken/c.jpg": 3}
    assert photos(tmp_path / "1")[uris["cut/b.jpg"]] == PHOTO


def test_a_silent_server_costs_its_timeout_and_a_closed_port_nothing(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {"silent/a.jpg": PHOTO}
    uris = [server.address("silent/a.jpg"), "http://127.0.0.1:1/b.jpg"]
    land_uris(tmp_path, uris, attempts=2, timeout_s=1.0)
    assert reasons(tmp_path / "1") == dict(zip(uris, ["fetch_timeout", "fetch_failed"], strict=True))
    wait_until(lambda: server.asked == {"silent/a.jpg": 2}, "two questions")


def test_a_body_without_end_is_left_at_the_limit(tmp_path: Path, server: PhotoServer) -> None:
    report = land_uris(tmp_path, [server.address("endless/a.jpg")], max_image_bytes=200_000)
    assert report.dropped == {"too_large": 1}
    assert server.sent["endless/a.jpg"] < 50 * 200_000


@pytest.mark.parametrize("behaviour", ["tagged", "ignorant", "dated"])
def test_what_has_not_changed_is_not_fetched_again(tmp_path: Path, server: PhotoServer, behaviour: str) -> None:
    names = [f"{behaviour}/{n}.jpg" for n in range(3)]
    server.photos = {name: picture(n) for n, name in enumerate(names)}
    uris = [server.address(name) for name in names]
    land_uris(tmp_path, uris)
    first = server.sent.copy()
    if behaviour != "dated":
        server.photos[names[1]] = picture(9)
    report = land_uris(tmp_path, uris, night="2", previous="1")
    changed = [] if behaviour == "dated" else [names[1]]
    assert report.detail["photos_kept"] == 3 - len(changed)
    if behaviour != "ignorant":  # that one sends the body before it is told that nobody wants it
        assert {name for name in names if server.sent[name] > first[name]} == set(changed)
    assert photos(tmp_path / "2") == {server.address(name): image for name, image in server.photos.items()}


def test_private_addresses_are_refused_by_the_address_that_is_connected_to(
    tmp_path: Path, server: PhotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.photos = {"a.jpg": PHOTO}
    port = server.server_port
    uris = [
        f"http://{host}:{port}/a.jpg"
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433")
    ]
    report = land_uris(tmp_path, uris, allow_private_networks=False, attempts=1)
    assert set(reasons(tmp_path / "1").values()) <= {"private_address", "fetch_failed"}
    assert report.dropped["private_address"] >= 4
    assert not server.asked

    # the first server counts as public here, and sends on to one that does not
    monkeypatch.setattr(addresses, "is_public", lambda host: host == "127.0.0.1")
    server.elsewhere = f"http://127.0.0.2:{port}/a.jpg"
    land_uris(
        tmp_path, [server.address("away/a.jpg"), server.address("a.jpg")], night="2", allow_private_networks=False
    )
    assert reasons(tmp_path / "2") == {server.address("a.jpg"): None, server.address("away/a.jpg"): "private_address"}
    assert server.asked == {"a.jpg": 1, "away/a.jpg": 1}


def test_redirects_are_followed_but_not_for_ever(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {"a.jpg": PHOTO}
    server.elsewhere = server.address("a.jpg")
    assert land_uris(tmp_path, [server.address("away/a.jpg")]).written["photos"] == 1
    server.elsewhere = server.address("away/a.jpg")
    assert land_uris(tmp_path, [server.address("away/a.jpg")], night="2").dropped == {"fetch_failed": 1}
    server.elsewhere = f"file://{tmp_path}/dump-1/_SUCCESS"
    assert land_uris(tmp_path, [server.address("away/a.jpg")], night="3").dropped == {"fetch_failed": 1}


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("93.184.216.34", True), ("2606:4700::1111", True), ("10.0.0.1", False), ("172.20.1.1", False),
        ("192.168.1.1", False), ("127.9.9.9", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("fe80::1", False),
        ("fc00::1", False), ("::ffff:10.0.0.1", False), ("2002:7f00:1::", False), ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True), ("::ffff:93.184.216.34", True), ("fec0::1", False), ("fec0::ffff", False),
        ("64:ff9b:1::a00:1", False), ("64:ff9b:1::5db8:d822", False), ("::127.0.0.1", False), ("::10.0.0.1", False),
        ("::93.184.216.34", False), ("::", False), ("192.0.0.1", False), ("192.0.0.9", False), ("192.0.0.170", False),
        ("192.88.99.1", False), ("198.18.0.1", False), ("198.51.100.1", False), ("203.0.113.9", False),
        ("100.127.255.255", False), ("240.0.0.1", False), ("2001::1", False), ("2001:0:7f00:1::", False),
        ("2001:db8::1", False), ("2002:5db8:d822::1", False), ("2002:a00:1::1", False), ("3fff::1", False),
        ("2606:4700::5efe:7f00:1", False), ("2606:4700::200:5efe:a00:1", False), ("fe80::1%1", False),
        ("ff02::1", False), ("100::1", False), ("5f00::1", False), ("4000::1", False), ("fd00:ec2::254", False),
        ("2a00:1450:4001:81b::200e", True), ("8.8.8.8", True),
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_public_internet(host: str, public: bool) -> None:
    assert addresses.is_public(host) == public


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_public_address_is_connected_to_by_its_own_family() -> None:
    address = (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("2606:4700::1111", 443, 0, 0))
    with addresses.public_socket(address) as found:
        assert (found.family, found.type) == (socket.AF_INET6, socket.SOCK_STREAM)


def test_other_schemes_are_read_where_they_are_allowed_and_once_while_unchanged(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    uri = "memory://bucket/a.jpg"
    store.pipe_file(uri, PHOTO)
    assert land_uris(tmp_path, [uri]).dropped == {"outside_dump": 1}
    allowed = ["memory", "no"]
    report = land_uris(tmp_path, [uri, "no://such/scheme.jpg"], night="2", allowed_schemes=allowed)
    assert report.dropped == {"fetch_failed": 1}
    # other bytes under the same key: what comes back shows that nobody has read them
    store.store["/bucket/a.jpg"].getbuffer()[:] = PHOTO[::-1]
    land_uris(tmp_path, [uri], night="3", previous="2", allowed_schemes=allowed)
    assert photos(tmp_path / "3") == {uri: PHOTO}
    store.pipe_file(uri, PHOTO[::-1])
    land_uris(tmp_path, [uri], night="4", previous="3", allowed_schemes=allowed)
    assert photos(tmp_path / "4") == {uri: PHOTO[::-1]}


def test_the_same_photo_of_a_dump_is_linked_and_only_what_is_new_is_written(tmp_path: Path) -> None:
    images = {f"images/{n}.jpg": picture(n) for n in range(12)}
    rows = [{"listing_id": uri, "title": "Mug", "image_uri": uri} for uri in images]
    cfg = LandConfig.model_validate({"photos_per_part": 5})
    (tmp_path / "none").mkdir()
    land(cfg, write_dump(tmp_path / "dump1", rows, images), tmp_path / "none", tmp_path / "1")
    later = {**images, "images/3.jpg": picture(99), "images/new.jpg": picture(100)}
    del later["images/7.jpg"]
    rows = [{"listing_id": uri, "title": "Mug", "image_uri": uri} for uri in later]
    report = land(cfg, write_dump(tmp_path / "dump2", rows, later), tmp_path / "1", tmp_path / "2")
    assert report.detail["photos_kept"] == 10
    assert photos(tmp_path / "2") == later
    first, second = ({path.name: path.stat().st_ino for path in (tmp_path / n / "images").iterdir()} for n in "12")
    assert first.items() <= second.items()
    assert (
        sum(pq.read_metadata(tmp_path / "2" / "images" / name).num_rows for name in second.keys() - first.keys()) == 2
    )


def test_parts_that_have_become_small_are_written_anew_together(tmp_path: Path) -> None:
    images: dict[str, bytes] = {}
    previous = tmp_path / "none"
    previous.mkdir()
    counts = []
    for night in range(20):
        images[f"images/{night:02d}.jpg"] = picture(night)
        rows = [{"listing_id": uri, "title": "Mug", "image_uri": uri} for uri in images]
        dump = write_dump(tmp_path / f"dump{night}", rows, images)
        land(LandConfig.model_validate({"photos_per_part": 8}), dump, previous, tmp_path / str(night))
        previous = tmp_path / str(night)
        counts.append(len(list((previous / "images").iterdir())))
    assert counts[:17] == list(range(1, 18))
    assert max(counts) <= 18
    assert counts[-1] <= 6
    assert photos(previous) == images


def test_no_proxy_of_the_environment_is_asked(
    tmp_path: Path, server: PhotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy the address that is connected to would not be the photo's, and nothing could judge it."""
    server.photos = {"a.jpg": PHOTO}
    with photo_server() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        report = land_uris(tmp_path, [server.address("a.jpg")])
        assert not proxy.asked
    assert report.written["photos"] == 1
    assert server.asked == {"a.jpg": 1}


def test_an_address_is_sent_as_it_is_written(tmp_path: Path, server: PhotoServer) -> None:
    names = ["s.jpg?sig=ab%2Fcd%3D&x=a%20b+c", "enc%2Fslash.jpg", "a%7Cb.jpg", "pct%25zz.jpg"]
    server.photos = dict.fromkeys(names, PHOTO)
    land_uris(tmp_path, [server.address(name) for name in names])
    assert server.asked == dict.fromkeys(names, 1)


def one_by_one(folder: Path, server: PhotoServer, names: list[str], **options: Any) -> dict[str, str | None]:
    """Land photos of one host in the order of their names; return why there is none, by name."""
    uris = {server.address(name): name for name in names}
    land_uris(folder, list(uris), host_connections=1, **options)
    return {uris[uri]: reason for uri, reason in reasons(folder / "1").items()}


def test_an_answer_is_taken_by_its_status(tmp_path: Path, server: PhotoServer) -> None:
    again = dict.fromkeys((408, 425, 429, 500, 502, 503, 504), ("fetch_failed", 2))
    finally_ = {404: ("missing", 1), 410: ("missing", 1)} | dict.fromkeys(
        (304, 401, 403, 501, 203), ("fetch_failed", 1)
    )
    expected = {f"status/{status}/a.jpg": found for status, found in (again | finally_).items()}
    found = one_by_one(tmp_path, server, list(expected), attempts=2, host_failures=99)
    assert {name: (found[name], server.asked[name]) for name in expected} == expected


def test_a_host_that_fails_several_times_in_a_row_is_left_alone(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {"b.jpg": PHOTO, "d.jpg": PHOTO, "status/z.jpg": PHOTO}
    server.elsewhere = "http://[/"
    names = ["away/a.jpg", "b.jpg", "broken/c.jpg", "d.jpg", "status/500/e.jpg", "status/502/f.jpg", "status/z.jpg"]
    found = one_by_one(tmp_path, server, names, attempts=1, host_failures=2)
    failed = dict.fromkeys(names, "fetch_failed")
    assert found == failed | {"b.jpg": None, "d.jpg": None, "status/z.jpg": "host_unreachable"}
    assert server.asked.keys() == {*names} - {"status/z.jpg"}


def test_a_closed_port_is_a_failure_of_its_host_each_time(tmp_path: Path) -> None:
    uris = [f"http://127.0.0.1:1/{name}.jpg" for name in "abc"]
    land_uris(tmp_path, uris, attempts=3, host_failures=2, host_connections=1)
    assert reasons(tmp_path / "1") == dict.fromkeys(uris, "host_unreachable")
    land_uris(tmp_path, uris, night="2", attempts=1, host_failures=2, host_connections=1)
    assert list(reasons(tmp_path / "2").values()) == ["fetch_failed", "host_unreachable", "host_unreachable"]


def test_a_photo_may_have_as_many_bytes_as_the_limit_and_no_more(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {
        "fits.jpg": PHOTO,
        "large.jpg": PHOTO + b"!",
        "unsaid/fits.jpg": PHOTO,
        "unsaid/large.jpg": PHOTO + b"!",
    }
    found = one_by_one(tmp_path, server, list(server.photos), max_image_bytes=len(PHOTO))
    assert found == dict.fromkeys(server.photos) | {"large.jpg": "too_large", "unsaid/large.jpg": "too_large"}
    store = fsspec.filesystem("memory")
    for name, image in (("fits", PHOTO), ("large", PHOTO + b"!")):
        store.pipe_file(f"memory://limits/{name}.jpg", image)
    uris = [f"memory://limits/{name}.jpg" for name in ("fits", "gone", "large")]
    land_uris(tmp_path, uris, night="2", max_image_bytes=len(PHOTO), allowed_schemes=["memory"])
    assert reasons(tmp_path / "2") == dict(zip(uris, [None, "missing", "too_large"], strict=True))


def test_a_redirect_more_than_allowed_is_one_too_many_and_is_not_tried_again(
    tmp_path: Path, server: PhotoServer
) -> None:
    server.photos, server.elsewhere = {"a.jpg": PHOTO}, server.address("a.jpg")
    assert one_by_one(tmp_path, server, ["away/a.jpg"], max_redirects=0) == {"away/a.jpg": "fetch_failed"}
    assert server.asked == {"away/a.jpg": 1}
    uris = [server.address(name) for name in ("away/a.jpg", "hops/2/a.jpg", "hops/3/a.jpg")]
    land_uris(tmp_path, uris, night="2", max_redirects=2)
    assert reasons(tmp_path / "2") == dict(zip(uris, [None, None, "fetch_failed"], strict=True))


def test_a_photo_is_asked_for_plainly_and_kept_as_it_was_sent(tmp_path: Path, server: PhotoServer) -> None:
    """No compression that could expand without limit, no cookie that links one question to the next."""
    server.photos = dict.fromkeys(("a.jpg", "b.jpg"), PHOTO)
    server.headers = {"a.jpg": {"Set-Cookie": "who=you", "Content-Encoding": "gzip"}}
    assert one_by_one(tmp_path, server, ["a.jpg", "b.jpg"]) == {"a.jpg": None, "b.jpg": None}
    assert photos(tmp_path / "1")[server.address("a.jpg")] == PHOTO
    asked = {name: value for name, value in server.heard["b.jpg"].items() if name != "host"}
    assert asked == {"user-agent": "ecclip", "accept": "image/*, */*;q=0.1", "accept-encoding": "identity"}


def test_the_next_night_asks_by_the_tag_or_else_by_the_time(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = dict.fromkeys(("both.jpg", "neither.jpg", "tag.jpg", "time.jpg"), PHOTO)
    tag, time = {"ETag": '"a b"'}, {"Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"}
    server.headers = {"both.jpg": tag | time, "tag.jpg": tag, "time.jpg": time}
    uris = [server.address(name) for name in server.photos]
    land_uris(tmp_path, uris)
    report = land_uris(tmp_path, uris, night="2", previous="1")
    conditions = {
        name: {key: value for key, value in heard.items() if key.startswith("if-")}
        for name, heard in server.heard.items()
    }
    by_tag, by_time = {"if-none-match": '"a b"'}, {"if-modified-since": time["Last-Modified"]}
    assert conditions == {"both.jpg": by_tag, "neither.jpg": {}, "tag.jpg": by_tag, "time.jpg": by_time}
    assert report.detail["photos_kept"] == 4
    server.photos["neither.jpg"] = picture(2)
    assert land_uris(tmp_path, uris, night="3", previous="2").detail["photos_kept"] == 3
    assert photos(tmp_path / "3")[server.address("neither.jpg")] == picture(2)
    assert server.heard["tag.jpg"]["if-none-match"] == '"a b"', "a photo that is kept keeps its tag as well"
    assert server.asked == dict.fromkeys(server.photos, 3)


def test_one_host_is_asked_for_no_more_at_once_than_it_may(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {f"slow/{number}.jpg": PHOTO for number in range(12)}
    server.crowd = 3
    assert land_uris(tmp_path, [*map(server.address, server.photos)], host_connections=3).written["photos"] == 12
    assert server.most_flying == 3


def test_what_finds_no_room_waits_for_another_night(tmp_path: Path, server: PhotoServer) -> None:
    server.photos = {f"{number}.jpg": PHOTO for number in range(3)}
    found = one_by_one(tmp_path, server, list(server.photos), spool_bytes=len(PHOTO) + 1)
    assert found == {"0.jpg": None, "1.jpg": None, "2.jpg": "spool_full"}


def test_names_that_cannot_be_looked_up_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = [f"http://{host}/a.jpg" for host in ("unknown.test", f"{'x' * 70}.example", "a..example")]
    with local_names(monkeypatch, unknown="unknown.test"):
        land_uris(tmp_path, uris, attempts=2)
    assert reasons(tmp_path / "1") == dict.fromkeys(uris, "fetch_failed")
