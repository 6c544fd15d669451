"""Photos that an export names by path: looked for beside it, brought into the dump, and counted where they are not."""

from __future__ import annotations

import csv
import os
import socket
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ecclip.catalog.mapping.map_dump import map_dump
from ecclip.catalog.mapping.model import Mapping
from ecclip.core import ContractError, Counts

PHOTO = b"\xff\xd8 a photo"


def shop(folder: Path, names: list[str]) -> Path:
    (folder / "img").mkdir(parents=True)
    (folder / "img" / "1.jpg").write_bytes(PHOTO)
    with (folder / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "name", "photo"), *((str(n), "x", name) for n, name in enumerate(names))])
    return folder


def run(source: Path, output: Path, photo: Any = "photo", **more: Any) -> tuple[list[dict[str, Any]], Counts]:
    columns = {"listing_id": "id", "title": "name", "image_uri": photo}
    declared = {"source": {"format": "csv", "files": ["a.csv"]}, "columns": columns, **more}
    counts = map_dump(Mapping.model_validate(declared), str(source), output, "2026-11-01")
    return pq.read_table(output / "listings-0000.parquet").to_pylist(), counts


def test_a_photo_is_copied_to_the_same_path_of_the_dump_in_every_spelling(tmp_path: Path) -> None:
    names = ["img/1.jpg", "./img/1.jpg", "img//1.jpg", "img\\1.jpg", "img/%31.jpg", "img/x/../1.jpg"]
    rows, counts = run(shop(tmp_path / "shop", names), tmp_path / "out")
    assert [row["image_uri"] for row in rows] == ["img/1.jpg"] * len(names)
    assert (tmp_path / "out" / "img" / "1.jpg").read_bytes() == PHOTO
    assert counts.written["photos"] == counts.read["photos"] == len(names)


def test_what_is_no_regular_file_below_the_export_is_never_opened(tmp_path: Path) -> None:
    names = [
        "pipe.jpg",
        "socket.jpg",
        "img",
        "link.jpg",
        "device.jpg",
        "img/1.jpg/x",
        "../secret.jpg",
        str(tmp_path / "secret.jpg"),
        "folder/../../secret.jpg",
    ]
    source = shop(tmp_path / "shop", names)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    os.mkfifo(source / "pipe.jpg")
    (source / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (source / "device.jpg").symlink_to("/dev/zero")
    here = Path.cwd()
    os.chdir(source)  # the address of a socket may not be long
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("socket.jpg")
    finally:
        os.chdir(here)
    with listener:
        rows, counts = run(source, tmp_path / "out")
    assert [row["image_uri"] for row in rows] == names
    assert counts.written == {"listings": len(names), "photos": 0}
    assert counts.detail == {"photo_not_a_file": 3, "photo_outside_source": 5, "photo_missing": 1}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_SUCCESS",
        "listings-0000.parquet",
        "mapped.json",
    ]


def test_a_folder_whose_name_begins_like_that_of_the_export_is_outside(tmp_path: Path) -> None:
    names = ["link/1.jpg", "one.jpg", "../shop-evil/1.jpg", "img/../../shop-evil/1.jpg"]
    source = shop(tmp_path / "shop", names)
    (tmp_path / "shop-evil").mkdir()
    (tmp_path / "shop-evil" / "1.jpg").write_bytes(PHOTO)
    (source / "link").symlink_to(tmp_path / "shop-evil")
    (source / "one.jpg").symlink_to("../shop-evil/1.jpg")
    _, counts = run(source, tmp_path / "out")
    assert counts.detail == {"photo_outside_source": len(names)}
    assert not (tmp_path / "out" / "one.jpg").exists()


def test_a_photo_may_not_take_the_name_of_a_file_of_the_dump(tmp_path: Path) -> None:
    names = ["listings-9.jsonl", "_SUCCESS", "mapped.json", ".join-0", "line\nbreak.jpg"]
    source = shop(tmp_path / "shop", names)
    for name in names:
        (source / name).write_bytes(b'{"listing_id": "planted", "title": "x"}\n')
    _, counts = run(source, tmp_path / "out")
    assert counts.detail == {"photo_reserved_name": 4, "photo_bad_name": 1}
    assert not (tmp_path / "out" / "listings-9.jsonl").exists()


def test_a_photo_that_is_too_large_is_not_brought(tmp_path: Path) -> None:
    source = shop(tmp_path / "shop", ["img/large.jpg", "img/1.jpg"])
    with (source / "img" / "large.jpg").open("wb") as file:
        file.truncate(30_000_000)
    _, counts = run(source, tmp_path / "out")
    assert counts.detail == {"photo_too_large": 1}
    assert [path.name for path in (tmp_path / "out" / "img").iterdir()] == ["1.jpg"]


def test_addresses_are_left_to_landing(tmp_path: Path) -> None:
    names = ["https://a.example/1.jpg", "//a.example/2.jpg", "s3://bucket/3.jpg", ""]
    rows, counts = run(shop(tmp_path / "shop", names), tmp_path / "out")
    assert [row["image_uri"] for row in rows] == [*names[:3], None]
    assert (counts.read["photos"], counts.detail) == (3, {"photo_address": 3})


def test_folders_that_paths_start_from_are_tried_in_order(tmp_path: Path) -> None:
    source = shop(tmp_path / "shop", ["/1.jpg", "/t/2.jpg", "/t/3.jpg", "/../../a.csv"])
    (source / "media" / "t").mkdir(parents=True)
    (source / "media" / "t" / "2.jpg").write_bytes(b"two")
    rows, counts = run(source, tmp_path / "out", {"column": "photo", "below": ["img", "media"]})
    assert [row["image_uri"] for row in rows] == ["img/1.jpg", "media/t/2.jpg", "t/3.jpg", "/../../a.csv"]
    assert counts.detail == {"photo_missing": 1, "photo_outside_source": 1}


def test_too_many_missing_photos_stop_the_mapping_and_a_few_do_not(tmp_path: Path) -> None:
    names = [f"img/none-{number}.jpg" for number in range(12)]
    with pytest.raises(ContractError, match=r"12 of 12.*none-0\.jpg \(missing\).*limits\.missing_photos.*below"):
        run(shop(tmp_path / "shop", names), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    _, counts = run(tmp_path / "shop", tmp_path / "out", limits={"missing_photos": 1})
    assert counts.detail == {"photo_missing": 12}
    _, counts = run(shop(tmp_path / "few", names[:9]), tmp_path / "few-out")
    assert counts.detail == {"photo_missing": 9}
