"""Every photo of every listing is cleaned or counted with a reason, however its address is spelt."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import picture, write_dump
from photo_server import photo_server

from ecclip.core import read_manifest

pytestmark = pytest.mark.spark

EVERY, EVERY_ROW = {"max_bad_photo_share": 1.0}, {"max_quarantined_share": 1.0}


def cleaned(work: Path, dump: Path, **land: Any) -> dict[str, str | None]:
    """Return why each listing that names a photo has none (None: it has), after the sums of both stages have closed."""
    out = run_chain(work, dump, until="clean", gate=False, ingest=EVERY_ROW, clean=EVERY, land={"fetch": land})
    landed, ingested, found = (read_manifest(work / name) for name in ("land", "ingest", "clean"))
    assert landed is not None
    assert ingested is not None
    assert found is not None
    assert landed.read["photos"] == landed.written["photos"] + sum(landed.dropped.values())
    assert found.read["photos"] == found.written["photos"] + sum(found.dropped.values())
    rows = pq.read_table(out / "listings").to_pylist()
    names = {row["listing_id"]: row["image_error"] for row in rows if row["image_uri"] or row["image"]}
    assert {row["listing_id"] for row in rows if row["image"] is None} >= {k for k, why in names.items() if why}
    assert all((row["image"] is None) == (names[row["listing_id"]] is not None) for row in rows if row["image_uri"])
    assert found.read["photos"] == len(names)
    assert found.dropped == dict(Counter(why for why in names.values() if why))
    return names


def test_spellings_of_paths_and_addresses_find_their_photos(tmp_path: Path) -> None:
    with photo_server() as server:
        server.photos = {"a%20b.jpg": picture(1), "lead.jpg": picture(2), "trail.jpg": picture(3)}
        good = [
            " img/5.jpg", "img/6.jpg ", "img/8.jpg\t", "img\\9.jpg", "./img/10.jpg", "img//11.jpg",
            server.address("a b.jpg"), f" {server.address('lead.jpg')}", f"{server.address('trail.jpg')} ",
            server.address("lead.jpg#fragment"), server.address("lead.jpg").replace("http", "HTTP"),
        ]  # fmt: skip
        bad = {"img/none.jpg": "missing", "a.jpg|b.jpg": "several_addresses", "../out.jpg": "outside_dump"}
        uris = [*good, *bad]
        rows = [{"listing_id": f"l{n:02d}", "title": f"Mug {n}", "image_uri": uri} for n, uri in enumerate(uris)]
        photos = {f"img/{n}.jpg": picture(n) for n in (5, 6, 8, 9, 10, 11)}
        dump = write_dump(tmp_path / "dump", rows, photos)
        lines = ["listing_id,title,image_uri", *(f'c{n:02d},Mug {n},"{uri}"' for n, uri in enumerate(uris))]
        (dump / "listings.csv").write_text("\n".join(lines) + "\n")
        found = cleaned(tmp_path / "work", dump, allow_private_networks=True)
    for kind in ("l", "c"):
        assert {uri: found[f"{kind}{n:02d}"] for n, uri in enumerate(uris)} == dict.fromkeys(good) | bad


@pytest.fixture(scope="module")
def cases() -> Path:
    folder = os.environ.get("ECCLIP_TEST_CASES")
    if not folder:
        pytest.skip("ECCLIP_TEST_CASES names no folder of example dumps")
    return Path(folder)


def copied(case: Path, target: Path) -> Path:
    shutil.copytree(case, target)
    target.chmod(0o755)
    (target / "_SUCCESS").touch()
    return target


def test_photos_of_phones_and_web_servers(cases: Path, tmp_path: Path) -> None:
    found = cleaned(tmp_path / "work", copied(cases / "13-photos", tmp_path / "dump"))
    for photo in ("01", "02", "04", "05", "12", "13", "14", "18", "19"):
        assert found[photo] is None, photo
    expected = {"07": "not_an_image", "08": "not_an_image", "09": "animated", "15": "too_small", "16": "too_small"}
    assert {photo: found[photo] for photo in expected} == expected


def test_paths_as_people_write_them(cases: Path, tmp_path: Path) -> None:
    dump = copied(cases / "08-native-csv", tmp_path / "dump")
    (dump / "img").mkdir()
    for number in range(1, 13):
        (dump / "img" / f"{number}.jpg").write_bytes(picture(number))
    found = cleaned(tmp_path / "work", dump)
    assert {found[listing] for listing in ("00001", "00005", "00006", "00008", "00009", "00010")} == {None}
    assert (found["00011"], found["00012"]) == ("missing", "outside_dump")


def test_addresses_as_feeds_write_them(cases: Path, tmp_path: Path) -> None:
    dump = copied(cases / "14-photo-urls", tmp_path / "dump")
    with photo_server() as server:
        names = [
            "plain",
            "with%20space",
            "%EC%83%81%ED%92%88",
            "upper",
            "a,b",
            "lead",
            "trail",
            "enc%2Fslash",
            "esc",
            "a",
            "pct%25zz%25zz",
        ]
        server.photos = {f"{name}.jpg": picture(n) for n, name in enumerate(names)}
        server.photos["s.jpg?sig=ab%2Fcd%3D&x=a%20b+c"] = picture(99)
        listings = dump / "listings.jsonl"
        text = listings.read_text()
        listings.chmod(0o644)
        listings.write_text(text.replace("38765", str(server.server_port)))
        found = cleaned(tmp_path / "work", dump, allow_private_networks=True, backoff_s=0.01)
    good = ("00", "03", "04", "05", "06", "07", "10", "14", "15", "16", "17", "20")
    assert {number: found[number] for number in good} == dict.fromkeys(good)
    assert found["02"] == "no_scheme"
    assert {found[number] for number in ("08", "09", "19")} == {"several_addresses"}
    assert found["01"] == "fetch_failed"  # https is asked for, and nobody speaks it here
    assert found["18"] == "outside_dump"


def test_half_an_emoji_in_an_address_costs_its_photo_alone(cases: Path, tmp_path: Path) -> None:
    source = cases / "10-lone-surrogate" / "native-image_uri.jsonl"
    lines = source.read_text().splitlines()
    dump = write_dump(tmp_path / "dump", lines, {"img/1.jpg": picture(1)})
    found = cleaned(tmp_path / "work", dump)
    assert found["p1"] is None
    assert found.get("p2", "quarantined") in ("bad_address", "not_landed", "quarantined")
