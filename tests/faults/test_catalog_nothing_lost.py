"""Wrong encodings, quotes and separators are counted or refused by name; rows in are rows out and rows refused."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import picture, write_dump
from hostile_dumps import random_dump
from hostile_rows import LOOSE, assert_closed, csv_text, ingested, plain

from ecclip.catalog.mapping.map_dump import map_dump
from ecclip.core import ContractError, EcclipError, read_manifest

pytestmark = [pytest.mark.spark, pytest.mark.fault(39)]
CASES = os.environ.get("ECCLIP_TEST_CASES")


def finished(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir()
    (folder / name).write_bytes(data)
    (folder / "_SUCCESS").touch()
    return folder


def titles(work: Path) -> dict[str, str]:
    rows = pq.read_table(work / "ingest" / "listings", columns=["listing_id", "title"]).to_pylist()
    return {row["listing_id"]: row["title"] for row in rows}


KOREAN = [plain(f"l{number}", title=f"따뜻한 겨울 코트와 모자 {number}", brand="노르빅") for number in range(30)]


@pytest.mark.parametrize(("encoding", "name"), [("cp949", "listings.csv"), ("cp949", "listings.jsonl")])
def test_a_dump_in_another_encoding_is_refused_with_a_proposal_and_read_when_it_is_declared(
    tmp_path: Path, encoding: str, name: str
) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in KOREAN)
    text = csv_text(KOREAN) if name.endswith("csv") else lines
    dump = finished(tmp_path / "dump", name, text.encode(encoding))
    with pytest.raises(ContractError, match=r"undecodable_text 30.*looks like (cp949|euc_kr|johab).*land\.encoding"):
        run_chain(tmp_path / "refused", dump, until="ingest")
    kept = pq.read_table(tmp_path / "refused" / "ingest.refused" / "quarantine").to_pylist()
    assert {row["reason"] for row in kept} == {"undecodable_text"}
    assert len(kept) == 30
    assert f"{name}, line" in kept[0]["detail"]
    manifest, published, _ = ingested(tmp_path / "read", dump, land={"encoding": encoding})
    assert len(published) == manifest.read["rows"] == 30
    assert titles(tmp_path / "read")["l3"] == KOREAN[3]["title"]


def test_one_sellers_bytes_cost_their_rows(tmp_path: Path) -> None:
    lines = [json.dumps(plain(f"l{number}"), ensure_ascii=False).encode() for number in range(20)]
    lines[7] = json.dumps(plain("l7", brand="Küche"), ensure_ascii=False).encode("latin-1")
    _, published, dropped = ingested(
        tmp_path / "work", finished(tmp_path / "dump", "listings.jsonl", b"\n".join(lines))
    )
    assert dropped == {"undecodable_text": 1}
    assert published == {f"l{number}" for number in range(20)} - {"l7"}


def test_quotes_that_are_plain_characters_lose_no_row(tmp_path: Path) -> None:
    rows = [plain(f"l{number:02d}", category="a > b") for number in range(40)]
    rows[5]["title"] = '"Grand Cru” dark chocolate 100 g'
    rows[6]["title"] = 'Frying pan 24" induction'
    rows[7]["title"] = '"Le Petit" butter'
    lines = ["\t".join(rows[0])] + ["\t".join(map(str, row.values())) for row in rows]
    ingested(tmp_path / "work", finished(tmp_path / "dump", "listings.tsv", "\n".join(lines).encode()))
    assert titles(tmp_path / "work") == {row["listing_id"]: row["title"] for row in rows}


def test_csv_as_spark_writes_it_and_with_a_cell_too_many(tmp_path: Path) -> None:
    text = 'listing_id,title,price\n1,"Pan 12\\" black",1\n2,"Pan 10\\", red",2\n3,"Pan 8"" blue",3\n4,x,4,5\n5,y,6,\n'
    _, published, dropped = ingested(tmp_path / "work", finished(tmp_path / "dump", "listings.csv", text.encode()))
    assert titles(tmp_path / "work") == {"1": 'Pan 12" black', "2": 'Pan 10", red', "3": 'Pan 8" blue', "5": "y"}
    assert dropped == {"too_many_cells": 1}
    assert "4" not in published


def test_many_rows_that_do_not_fit_are_refused_with_the_settings_that_they_were_read_with(tmp_path: Path) -> None:
    text = "listing_id,title,price\n" + "".join(f"l{number},Mug, red,3\n" for number in range(20))
    dump = finished(tmp_path / "dump", "listings.csv", text.encode())
    with pytest.raises(
        ContractError, match=r"too_many_cells 20.*listings\.csv was read with delimiter ','.*under land"
    ):
        run_chain(tmp_path / "work", dump, until="ingest")


@pytest.mark.parametrize("indent", [None, 2])
def test_one_json_array_is_its_elements(tmp_path: Path, indent: int | None) -> None:
    rows = [plain(f"l{number}") for number in range(5)]
    dump = finished(tmp_path / "dump", "listings.json", json.dumps(rows, indent=indent).encode())
    manifest, published, dropped = ingested(tmp_path / "work", dump)
    assert (manifest.read["rows"], len(published), dropped) == (5, 5, {})


def test_large_files_are_read_in_parts_that_hold_each_row_once(tmp_path: Path) -> None:
    rows = [plain(f"l{number:03d}", description="é" * (number % 50)) for number in range(200)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    dump = finished(tmp_path / "dump", "listings.jsonl", lines.encode())
    for split_bytes in (1024, 1 << 20):
        config = {"split_bytes": split_bytes, "max_quarantined_share": 1.0}
        _, published, dropped = ingested(tmp_path / str(split_bytes), dump, ingest=config)
        assert (len(published), dropped) == (200, {})
    first, second = (titles(tmp_path / name) for name in ("1024", str(1 << 20)))
    assert first == second


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 12))])
def test_the_sum_closes_over_random_dumps(tmp_path: Path, seed: int) -> None:
    dump, good, bad = random_dump(tmp_path / "dump", random.Random(seed))
    manifest, published, dropped = ingested(tmp_path / "work", dump)
    assert published == good
    assert dropped == bad
    assert manifest.detail["attributes"]["unusable"] == sum("-good" in listing for listing in good)


def _names(cases: Path) -> list[str]:
    return sorted(path.parent.name for path in cases.glob("*/README.md"))


@pytest.mark.skipif(CASES is None, reason="ECCLIP_TEST_CASES names no folder of example dumps")
@pytest.mark.parametrize("case", _names(Path(CASES)) if CASES else [])
def test_the_sum_closes_over_every_case_or_an_error_says_what_to_do(tmp_path: Path, case: str) -> None:
    source = Path(str(CASES)) / case
    mappings = sorted(source.glob("*.yaml")) or [None]
    for number, mapping in enumerate(mappings):
        work = tmp_path / str(number)
        refusal = _run(work, source, mapping, "ingest")
        if refusal is not None:
            assert refusal.next_step or refusal.limit, refusal
            continue
        land, ingest = (read_manifest(work / name) for name in ("land", "ingest"))
        assert land is not None
        assert ingest is not None
        assert_closed(ingest, work / "ingest")
        assert land.read["photos"] == land.written["photos"] + sum(land.dropped.values())
        if number or not land.read["photos"]:
            continue  # the same export has the same photos, whatever maps it
        assert _run(work, source, mapping, "clean") is None
        clean = read_manifest(work / "clean")
        assert clean is not None
        assert clean.read["photos"] == clean.written["photos"] + sum(clean.dropped.values())


def _run(work: Path, source: Path, mapping: Path | None, until: str) -> EcclipError | None:
    """Run a case until its rows are in or its photos are clean; return the error that refused it."""
    try:
        dump = work / "dump"
        if not dump.exists():
            _as_dump(source, mapping, dump)
        run_chain(work, dump, until=until, gate=False, **LOOSE, land={"fetch": {"attempts": 1, "timeout_s": 1.0}})
    except EcclipError as error:
        return error
    return None


def _as_dump(source: Path, mapping: Path | None, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if mapping is not None:
        counts = map_dump(mapping, str(source), folder, "2026-11-01")
        assert counts.read["rows"] == counts.written["listings"] + sum(counts.dropped.values())
        return
    shutil.copytree(source, folder)
    (folder / "_SUCCESS").touch()


def test_photos_of_random_dumps_are_there_or_counted(tmp_path: Path) -> None:
    uris = ["img/a.jpg", " img/a.jpg", "img/none.jpg", "img/a\x00.jpg", "../a.jpg", "", "   ", "img/b.jpg"]
    rows = [plain(f"l{number}", image_uri=uri) for number, uri in enumerate(uris)]
    rows.append('{"listing_id": "half", "title": "Mug", "image_uri": "img/a\\ud83c.jpg"}')  # type: ignore[arg-type]
    dump = write_dump(tmp_path / "dump", rows, {"img/a.jpg": picture(1), "img/b.jpg": b"no photo"})
    out = run_chain(tmp_path / "work", dump, until="clean", gate=False, **LOOSE)
    listings = {row["listing_id"]: row for row in pq.read_table(out / "listings").to_pylist()}
    assert len(listings) == len(uris)
    for number, uri in enumerate(uris):
        row = listings[f"l{number}"]
        assert (row["image"] is not None) + (row["image_error"] is not None) == bool(uri.strip())
    clean = read_manifest(out)
    assert clean is not None
    assert clean.read["photos"] == clean.written["photos"] + sum(clean.dropped.values()) == 6
