"""Landing copies byte for byte, packs photos, and reads nothing that is not in the dump."""

from __future__ import annotations

import os
import socket
import stat
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dumps import picture, write_dump

from ecclip.catalog.land.stage import LandConfig, land
from ecclip.core import ContractError, digest_of

CFG = LandConfig.model_validate({"fetch": {"max_image_bytes": 50_000}})


@pytest.fixture(autouse=True)
def no_night_before(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()


def row(number: int, uri: str | None) -> dict[str, str]:
    found = {"listing_id": f"l{number}", "title": "Mug"}
    return {**found, "image_uri": uri} if uri else found


def test_listing_files_are_the_same_bytes_and_photos_are_packed_by_address(tmp_path: Path) -> None:
    photos = {f"images/{number}.jpg": picture(number) for number in range(5)}
    dump = write_dump(tmp_path / "dump", [row(number, uri) for number, uri in enumerate(photos)], photos, files=2)
    report = land(CFG, dump, tmp_path / "none", tmp_path / "land")
    for path in dump.glob("listings*"):
        assert (tmp_path / "land" / "listings" / path.name).read_bytes() == path.read_bytes()
    packed = pq.read_table(tmp_path / "land" / "images").to_pylist()
    assert {entry["image_uri"]: entry["image"] for entry in packed} == photos
    assert [entry["image_uri"] for entry in packed] == sorted(photos)
    assert report.written == {"files": 2, "photos": 5}
    assert land(CFG, dump, tmp_path / "none", tmp_path / "land").outcome == "unchanged"


def test_what_is_not_in_the_dump_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    dump = write_dump(
        tmp_path / "dump",
        [
            row(0, "../secret"),
            row(1, str(tmp_path / "secret")),
            row(2, f"file://{tmp_path}/secret"),
            row(3, "images/link"),
            row(4, "images/none.jpg"),
            row(5, "images/big.jpg"),
            row(6, "http://127.0.0.1:1/x.jpg"),
        ],
        {"images/big.jpg": b"x" * 50_001},
    )
    (dump / "images" / "link").symlink_to(tmp_path / "secret")
    report = land(CFG, dump, tmp_path / "none", tmp_path / "land")
    places = pq.read_table(tmp_path / "land" / "photos.parquet").to_pylist()
    assert all(place["part"] is None for place in places)
    assert list((tmp_path / "land" / "images").iterdir()) == []
    assert report.dropped == {"missing": 1, "outside_dump": 4, "private_address": 1, "too_large": 1}


def test_an_unfinished_dump_is_refused(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [row(0, None)])
    (dump / "_SUCCESS").unlink()
    with pytest.raises(ContractError, match="not finished"):
        land(CFG, dump, tmp_path / "none", tmp_path / "land")
    assert not (tmp_path / "land").exists()


@pytest.mark.fault(2)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.99])
def test_a_cut_off_listing_file_stops_the_run_and_is_named(tmp_path: Path, share: float) -> None:
    dump = write_dump(tmp_path / "dump", [row(number, None) for number in range(200)], files=2)
    cut = dump / "listings-0001.jsonl.gz"
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ContractError, match=r"listings-0001\.jsonl\.gz"):
        land(CFG, dump, tmp_path / "none", tmp_path / "land")


@pytest.mark.fault(2)
@pytest.mark.parametrize("damage", ["cut", "footer"])
def test_a_damaged_parquet_file_stops_the_run_and_is_named(tmp_path: Path, damage: str) -> None:
    import pyarrow as pa

    dump = write_dump(tmp_path / "dump", [])
    (dump / "listings-0000.jsonl.gz").unlink()
    path = dump / "listings.parquet"
    pq.write_table(pa.table({"listing_id": [f"l{n}" for n in range(500)], "title": ["Mug"] * 500}), path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[-6] ^= 0xFF
        path.write_bytes(data)
    with pytest.raises(ContractError, match=r"listings\.parquet"):
        land(CFG, dump, tmp_path / "none", tmp_path / "land")
    assert digest_of(dump)


def reasons(folder: Path) -> dict[str, str | None]:
    return {place["image_uri"]: place["error"] for place in pq.read_table(folder / "photos.parquet").to_pylist()}


def test_a_folder_whose_name_begins_like_that_of_the_dump_is_outside(tmp_path: Path) -> None:
    (tmp_path / "dump-evil").mkdir()
    (tmp_path / "dump-evil" / "a.jpg").write_bytes(picture(1))
    ways = [
        "../dump-evil/a.jpg",
        str(tmp_path / "dump-evil" / "a.jpg"),
        "link/a.jpg",
        "a.jpg",
        "img/../../dump-evil/a.jpg",
    ]
    dump = write_dump(tmp_path / "dump", [row(number, way) for number, way in enumerate(ways)], {"img/b.jpg": b"b"})
    (dump / "link").symlink_to(tmp_path / "dump-evil")
    (dump / "a.jpg").symlink_to("../dump-evil/a.jpg")
    report = land(CFG, dump, tmp_path / "none", tmp_path / "land")
    assert set(reasons(tmp_path / "land").values()) == {"outside_dump"}
    assert report.written["photos"] == 0


def test_links_that_stay_in_the_dump_are_followed(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [row(0, "link.jpg"), row(1, "far/a.jpg")], {"img/a.jpg": picture(1)})
    (dump / "link.jpg").symlink_to("img/a.jpg")
    (dump / "far").symlink_to(dump / "img")
    assert land(CFG, dump, tmp_path / "none", tmp_path / "land").written["photos"] == 2


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    names = ["pipe", "socket", "folder", "device", "loop", "img/a.jpg"]
    dump = write_dump(tmp_path / "dump", [row(number, name) for number, name in enumerate(names)], {"img/a.jpg": b"a"})
    os.mkfifo(dump / "pipe")
    (dump / "folder").mkdir()
    (dump / "device").symlink_to("/dev/zero")
    (dump / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(dump)  # a socket's path must be short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        report = land(CFG, dump, tmp_path / "none", tmp_path / "land")
    assert reasons(tmp_path / "land") == {
        "pipe": "not_a_file", "socket": "not_a_file", "folder": "not_a_file", "device": "outside_dump",
        "loop": "not_a_file", "img/a.jpg": None,
    }  # fmt: skip
    assert report.read["photos"] == report.written["photos"] + sum(report.dropped.values()) == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_in_the_dump_is_not_read(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [row(0, "zero")])
    try:
        os.mknod(dump / "zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this machine makes no devices")
    land(CFG, dump, tmp_path / "none", tmp_path / "land")
    assert reasons(tmp_path / "land") == {"zero": "not_a_file"}


def test_addresses_that_cannot_be_used_are_counted_each_with_its_reason(tmp_path: Path) -> None:
    bad = {
        "img/a\0.jpg": "bad_address", "img/\x1b[2J.jpg": "bad_address", "http://[half/a.jpg": "bad_address",
        "a.jpg|b.jpg": "several_addresses", "www.shop.example/a.jpg": "no_scheme", "127.0.0.1:81/a.jpg": "no_scheme",
        "x" * 5000: "missing", "data:image/gif;base64,R0lGODlhAQABAAAAACw=": "outside_dump",
        "C:\\photos\\1.jpg": "outside_dump", "file:img/a.jpg": "outside_dump", "IMG/A.JPG": "missing",
    }  # fmt: skip
    rows = [row(number, uri) for number, uri in enumerate([*bad, "img/a.jpg", "  ", "\t", "img/\ud83c.jpg"])]
    dump = write_dump(tmp_path / "dump", rows, {"img/a.jpg": picture(1)})
    report = land(CFG, dump, tmp_path / "none", tmp_path / "land")
    assert sum(report.dropped.values()) == len(bad)
    assert report.dropped == dict(Counter(bad.values()))
    assert report.read["photos"] == len(bad) + 1
    assert report.written["photos"] == 1


def test_spellings_of_one_path_are_one_photo(tmp_path: Path) -> None:
    ways = ["img/a.jpg", " img/a.jpg", "img/a.jpg ", "img/a.jpg\t", "img\\a.jpg", "./img/a.jpg", "img//a.jpg"]
    dump = write_dump(tmp_path / "dump", [row(n, way) for n, way in enumerate(ways)], {"img/a.jpg": picture(1)})
    report = land(CFG, dump, tmp_path / "none", tmp_path / "land")
    assert (report.read["photos"], report.written["photos"]) == (1, 1)
    assert reasons(tmp_path / "land") == {"img/a.jpg": None}
