"""A foreign dump becomes a folder in the form of Dump v1: whole, in order, the same bytes each time."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecclip.catalog.mapping.map_dump import load_mapping, map_dump
from ecclip.catalog.mapping.model import Mapping
from ecclip.core import ConfigError, ContractError

NIGHT = "2026-11-01"


def mapping(kind: str, file: str, **more: Any) -> Mapping:
    columns = {"listing_id": "id", "title": "name", **more.pop("columns", {})}
    return Mapping.model_validate({"source": {"format": kind, "files": [file]}, "columns": columns, **more})


def listings(dump: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(dump.glob("listings-*.parquet")) for row in pq.read_table(path).to_pylist()]


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_csv_rows_all_arrive_and_broken_ones_with_their_reason_and_text(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text(
        'id;name\n1;"Red; ""big"" mug"\n2;too;many\n3\n4;Blue mug\n', encoding="utf-8-sig"
    )
    declared = mapping("csv", "*.csv")
    declared = declared.model_copy(update={"source": declared.source.model_copy(update={"delimiter": ";"})})
    counts = map_dump(declared, str(tmp_path), tmp_path / "out", NIGHT)
    rows = listings(tmp_path / "out")
    assert [row["listing_id"] for row in rows] == ["1", None, None, "4"]
    assert rows[0]["title"] == 'Red; "big" mug'
    assert [row["_problem"] for row in rows] == [None, "too_many_cells", "too_few_cells", None]
    assert [row["_raw"] for row in rows[1:3]] == ["2;too;many\n", "3\n"]
    assert rows[1]["_detail"].startswith("products.csv:3: 3 cells")
    assert counts.dropped == {"too_few_cells": 1, "too_many_cells": 1}
    assert counts.read["rows"] == counts.written["listings"] + sum(counts.dropped.values()) == 4


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_json_lines_plain_or_compressed(tmp_path: Path, suffix: str) -> None:
    lines = [
        json.dumps({"id": 1, "name": "머그컵", "more": {"tags": ["a", "b"]}}),
        "{broken",
        json.dumps([1]),
        '{"id": 2, "name": null}',
    ]
    data = "\n".join(lines).encode()
    (tmp_path / f"a.{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    map_dump(mapping("jsonl", "a.*", columns={"category": "more.tags"}), str(tmp_path), tmp_path / "out", NIGHT)
    rows = listings(tmp_path / "out")
    assert [row["listing_id"] for row in rows] == ["1", None, None, "2"]
    assert rows[0]["category"] == ["a", "b"]
    assert rows[0]["title"] == "머그컵"


def test_photos_are_joined_by_key_and_a_row_without_one_stays(tmp_path: Path) -> None:
    parquet(tmp_path / "listings.parquet", [{"id": number, "name": f"n{number}"} for number in (3, 1, 2)])
    parquet(
        tmp_path / "images.parquet",
        [{"key": "1", "data": b"one"}, {"key": "3", "data": b"three"}, {"key": "1", "data": b"again"}],
    )
    join = {"format": "parquet", "files": ["images.parquet"], "left": "id", "right": "key", "columns": ["data"]}
    declared = mapping("parquet", "listings.parquet", columns={"image": "data"}, join=[join])
    counts = map_dump(declared, str(tmp_path), tmp_path / "out", NIGHT)
    assert [(row["listing_id"], row["image"]) for row in listings(tmp_path / "out")] == [
        ("3", b"three"),
        ("1", b"one"),
        ("2", None),
    ]
    assert counts.written == {"listings": 3, "photos": 2}
    assert counts.detail == {"duplicate_join_keys": 1, "without_images": 1}


def test_photos_beside_are_taken_in_and_nothing_outside_the_source_is_read(tmp_path: Path) -> None:
    source = tmp_path / "shop"
    (source / "img").mkdir(parents=True)
    (source / "img" / "1.jpg").write_bytes(b"photo")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (source / "img" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    names = [
        "img/1.jpg",
        "img/none.jpg",
        "../secret.jpg",
        str(tmp_path / "secret.jpg"),
        f"file://{tmp_path}/secret.jpg",
        "img/link.jpg",
    ]
    with (source / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "name", "photo"), *((str(n), "x", name) for n, name in enumerate(names))])
    map_dump(
        mapping("csv", "a.csv", columns={"image": {"column": "photo", "read": True}}),
        str(source),
        tmp_path / "out",
        NIGHT,
    )
    rows = listings(tmp_path / "out")
    assert [row["image"] for row in rows] == [b"photo", None, None, None, None, None]
    assert [row["image_uri"] for row in rows] == [None, *names[1:]]


def test_source_and_photos_may_lie_anywhere_that_fsspec_reaches(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/shop/a.jsonl", b'{"id": 1, "name": "x", "photo": "memory://cdn/1.jpg"}\n')
    memory.pipe("/cdn/1.jpg", b"from the cdn")
    photo = {"column": "photo", "read": True, "read_from": ["memory://cdn/"]}
    map_dump(mapping("jsonl", "a.jsonl", columns={"image": photo}), "memory://shop", tmp_path / "out", NIGHT)
    assert listings(tmp_path / "out")[0]["image"] == b"from the cdn"


def test_mapping_twice_gives_the_same_bytes_and_one_file_is_a_source_too(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", [{"id": str(number), "name": f"n{number}"} for number in range(5200)])
    declared = mapping("parquet", "a.parquet")
    for name in ("one", "two", "two"):
        map_dump(declared, str(tmp_path / "a.parquet"), tmp_path / name, NIGHT)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert [path.name for path in sorted((tmp_path / "one").iterdir())] == [
        "_SUCCESS", "listings-0000.parquet", "listings-0001.parquet", "mapped.json",
    ]  # fmt: skip
    assert [row["listing_id"] for row in listings(tmp_path / "one")] == [str(number) for number in range(5200)]


def test_limit_takes_the_first_rows(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", [{"id": str(number), "name": "x"} for number in range(900)])
    counts = map_dump(mapping("parquet", "a.parquet"), str(tmp_path), tmp_path / "out", NIGHT, limit=300)
    assert counts.written["listings"] == 300
    assert listings(tmp_path / "out")[-1]["listing_id"] == "299"


def test_a_damaged_source_leaves_nothing_behind(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"id": %d, "name": "x"}\n' % number for number in range(3000)))
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ContractError, match="damaged"):
        map_dump(mapping("jsonl", "a.jsonl.gz"), str(tmp_path), tmp_path / "dumps" / NIGHT, NIGHT)
    assert [path.name for path in (tmp_path / "dumps").iterdir() if not path.name.endswith(".lock")] == []


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n")
    with pytest.raises(ContractError, match="no rows"):
        map_dump(mapping("csv", "a.csv"), str(tmp_path), tmp_path / "out", NIGHT)


def test_a_column_that_is_not_there_is_named_with_its_field(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,x\n")
    with pytest.raises(ConfigError, match=r"columns\.brand.*maker.*id, name"):
        map_dump(mapping("csv", "a.csv", columns={"brand": "maker"}), str(tmp_path), tmp_path / "out", NIGHT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: {listing_id: id}", r"wrong at columns\.title"),
        ("columns: {listing_id: id, title: t, colour: c}", r"wrong at columns\.colour"),
        ("columns: {listing_id: id, title: {column: a, constant: b}}", r"wrong at columns\.title.*exactly one"),
        ("columns: {listing_id: id, title: {split: x}}", r"wrong at columns\.title.*none"),
        ("columns: {listing_id: {column: id, number: true}, title: t}", r"columns\.listing_id: number is only for"),
        (
            "columns: {listing_id: id, title: t, brand: {column: b, time: {format: epoch}}}",
            r"columns\.brand: time is only",
        ),
        ("columns: {listing_id: id, title: t, price: {first_of: [{column: a, number: true}]}}", "not of a part of it"),
        ("columns: {listing_id: id, title: {column: t, take: last}}", "what stands between"),
        ("columns: {listing_id: id, title: t, image: {column: p, read: true}, image_uri: p}", "leave image_uri out"),
        (
            "columns: {listing_id: id, title: t, updated_at: {column: c, time: {format: x, zone: Mars}}}",
            "no time zone Mars",
        ),
        ("columns: [", "not YAML"),
    ],
)
def test_a_wrong_mapping_names_the_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.yaml").write_text(f"schema: ecclip.mapping/1\nsource: {{format: csv, files: [a.csv]}}\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        load_mapping(tmp_path / "m.yaml")


def test_an_unknown_mapping_lists_the_shipped_ones() -> None:
    with pytest.raises(
        ConfigError, match="bestbuy, flipkart1050, google_merchant, hm_articles, magento, myntra_fashion"
    ):
        load_mapping(Path("etsy"))


@pytest.mark.parametrize(("source", "join"), [("none.csv", None), ("a.csv", "none.csv")])
def test_a_missing_file_is_named(tmp_path: Path, source: str, join: str | None) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,x\n")
    joined = {"format": "csv", "files": [join], "left": "id", "right": "id", "columns": ["name"]}
    declared = mapping("csv", source, join=[joined] if join else [])
    with pytest.raises(ConfigError, match=r"none\.csv"):
        map_dump(declared, str(tmp_path), tmp_path / "out", NIGHT)


def test_another_dump_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,x\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_SUCCESS").touch()
    with pytest.raises(ConfigError, match="not a mapped dump"):
        map_dump(mapping("csv", "a.csv"), str(tmp_path), tmp_path / "out", NIGHT)
