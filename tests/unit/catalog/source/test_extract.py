"""A night fetches its own dump: from a folder or a URL, by the contract or by a mapping, once it is finished."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from dumps import market, write_dump

from ecclip.catalog.source.location import SourceConfig, locate, why_not_ready
from ecclip.core import ConfigError, ContractError, NotReadyError, digest_of, settings
from ecclip.nights import known_nights, previous_of
from ecclip.pipeline import run_stage, stage_config, why_waiting

NIGHT, NEXT = "2026-11-01", "2026-11-02"
MAPPING = {
    "schema": "ecclip.mapping/1",
    "source": {"format": "csv", "files": ["*.csv"]},
    "columns": {"listing_id": "sku", "title": "name"},
}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


def declare(workspace: Path, **source: Any) -> None:
    (workspace / "params.yaml").write_text(yaml.safe_dump({"source": source}))


def dumped(folder: Path, products: int = 3) -> Path:
    rows, photos = market(products)
    return write_dump(folder, rows, photos)


def extracted(workspace: Path, night: str = NIGHT) -> Path:
    return workspace / "work" / "nights" / night / "dump"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def foreign(folder: Path, *rows: str, marker: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "products.csv").write_text("\n".join(["sku,name", *rows]) + "\n")
    if marker:
        (folder / "_SUCCESS").touch()
    return folder


def test_without_a_word_a_night_is_the_folder_of_its_date(workspace: Path) -> None:
    declare(workspace)
    dump = dumped(workspace / "work" / "dumps" / NIGHT)
    report = run_stage("extract", NIGHT)
    assert (report.outcome, previous_of(NIGHT), len(known_nights())) == ("written", None, 1)
    got, gave = contents(extracted(workspace)), contents(dump)
    assert got.pop("manifest.json")
    assert gave.pop("_SUCCESS") == b""
    assert got == gave
    assert report.written["files"] == len(gave)
    assert report.written["bytes"] == sum(map(len, gave.values()))
    assert run_stage("extract", NIGHT).outcome == "unchanged"
    assert run_stage("land", NIGHT).read["photos"] == len(gave) - 1


def test_the_same_dump_elsewhere_is_the_same_night(workspace: Path, tmp_path: Path) -> None:
    declare(workspace)
    dumped(workspace / "work" / "dumps" / NIGHT)
    digest = run_stage("extract", NIGHT).digest
    (workspace / "work" / "dumps" / NIGHT).rename(tmp_path / "20261101")
    declare(workspace, where=str(tmp_path / "{night:%Y%m%d}"), wait={"poke_interval_s": 3})
    report = run_stage("extract", NIGHT)
    assert (report.outcome, report.digest) == ("unchanged", digest)


@pytest.mark.parametrize("marker", ["_SUCCESS", "manifest.json"])
def test_a_corrected_export_is_extracted_again_whatever_its_marker(workspace: Path, marker: str) -> None:
    declare(workspace)
    dump = dumped(workspace / "work" / "dumps" / NIGHT)
    (dump / "_SUCCESS").unlink()
    (dump / marker).write_text("{}")
    photo = sorted((dump / "images").iterdir())[0]
    run_stage("extract", NIGHT)
    before = photo.stat()
    photo.write_bytes(bytes(reversed(photo.read_bytes())))
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time, another picture
    assert run_stage("extract", NIGHT).outcome == "written"
    assert (extracted(workspace) / "images" / photo.name).read_bytes() == photo.read_bytes()


@pytest.mark.parametrize("missing", ["folder", "marker"])
def test_what_is_not_there_yet_is_no_breach_of_contract(workspace: Path, missing: str) -> None:
    declare(workspace)
    if missing == "marker":
        (dumped(workspace / "work" / "dumps" / NIGHT) / "_SUCCESS").unlink()
    for _ in range(2):
        with pytest.raises(NotReadyError, match=r"not ready.*dumps/2026-11-01.*next: run again") as waiting:
            run_stage("extract", NIGHT)
    assert not isinstance(waiting.value, ContractError)
    assert why_waiting(NIGHT)
    assert not extracted(workspace).exists()
    (dumped if missing == "folder" else Path)(workspace / "work" / "dumps" / NIGHT)
    (workspace / "work" / "dumps" / NIGHT / "_SUCCESS").touch()
    assert why_waiting(NIGHT) == ""
    assert run_stage("extract", NIGHT).outcome == "written"


def test_a_night_that_was_extracted_outlives_its_export(workspace: Path) -> None:
    declare(workspace)
    dump = dumped(workspace / "work" / "dumps" / NIGHT)
    digest = run_stage("extract", NIGHT).digest
    shutil.rmtree(dump)
    assert why_waiting(NIGHT) == "", "nothing is waited for"
    report = run_stage("extract", NIGHT)
    assert (report.outcome, report.digest) == ("unchanged", digest)
    assert run_stage("land", NIGHT).outcome == "written"


def test_any_name_can_be_the_marker_and_none_needs_be(workspace: Path, tmp_path: Path) -> None:
    dump = dumped(tmp_path / NIGHT)
    (dump / "_SUCCESS").unlink()
    declare(workspace, where=str(tmp_path / "{night}"), markers=["done.txt"])
    with pytest.raises(NotReadyError, match=r"no done\.txt"):
        run_stage("extract", NIGHT)
    (dump / "done.txt").touch()
    run_stage("extract", NIGHT)
    assert not (extracted(workspace) / "done.txt").exists()
    (dump / "done.txt").unlink()
    declare(workspace, where=str(tmp_path / "{night}"), markers=[])
    assert run_stage("extract", NIGHT).outcome == "unchanged"


def test_a_foreign_export_is_mapped_and_a_changed_mapping_maps_again(workspace: Path, tmp_path: Path) -> None:
    foreign(tmp_path / "shop" / NIGHT, "1,red mug", "2,blue mug")
    (workspace / "shop.yaml").write_text(yaml.safe_dump(MAPPING))
    declare(workspace, where=str(tmp_path / "shop" / "{night}"), mapping="shop.yaml")
    report = run_stage("extract", NIGHT)
    assert (report.outcome, report.written["listings"]) == ("written", 2)
    names = {path.name for path in extracted(workspace).iterdir()}
    assert names == {"listings-0000.parquet", "mapped.json", "manifest.json"}
    assert run_stage("extract", NIGHT).outcome == "unchanged"
    (workspace / "shop.yaml").write_text(yaml.safe_dump({**MAPPING, "columns": {"listing_id": "sku", "title": "sku"}}))
    assert run_stage("extract", NIGHT).outcome == "written"
    assert pq.read_table(extracted(workspace) / "listings-0000.parquet").column("title").to_pylist() == ["1", "2"]
    run_stage("land", NIGHT)


def test_an_export_may_be_one_file_with_the_night_in_its_name(workspace: Path, tmp_path: Path) -> None:
    foreign(tmp_path / "shop", "1,red mug")
    (tmp_path / "shop" / "products.csv").rename(tmp_path / "shop" / f"products-{NIGHT}.csv")
    (tmp_path / "shop" / f"products-{NEXT}.csv").write_text("sku,name\n2,lamp\n3,boots\n")
    (workspace / "shop.yaml").write_text(yaml.safe_dump(MAPPING))
    declare(workspace, where=str(tmp_path / "shop" / "products-{night}.csv"), mapping="shop.yaml")
    assert [run_stage("extract", night).written["listings"] for night in (NIGHT, NEXT)] == [1, 2]


def test_photos_beside_an_export_of_one_file_decide_whether_it_is_extracted_again(
    workspace: Path, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    (shop / "img").mkdir(parents=True)
    (shop / f"{NIGHT}.csv").write_text("sku,name,photo\n1,mug,img/1.JPG\n")
    (shop / "_SUCCESS").touch()
    photo = shop / "img" / "1.JPG"
    photo.write_bytes(b"one")
    columns = {"listing_id": "sku", "title": "name", "image_uri": "photo"}
    (workspace / "shop.yaml").write_text(yaml.safe_dump({**MAPPING, "columns": columns}))
    declare(workspace, where=str(shop / "{night}.csv"), mapping="shop.yaml")
    run_stage("extract", NIGHT)
    (shop / f"{NEXT}.csv").write_text("sku,name,photo\n2,lamp,img/2.JPG\n")
    assert run_stage("extract", NIGHT).outcome == "unchanged", "the next night's table is another night's"
    photo.write_bytes(b"two")
    assert run_stage("extract", NIGHT).outcome == "written"
    assert (extracted(workspace) / "img" / "1.JPG").read_bytes() == b"two"


def test_files_that_are_none_or_lead_out_cost_themselves(workspace: Path, tmp_path: Path) -> None:
    declare(workspace)
    dump = dumped(workspace / "work" / "dumps" / NIGHT)
    good = {name for name in contents(dump) if name != "_SUCCESS"}
    (tmp_path / "secret").write_text("of another")
    evil = dump.with_name(f"{dump.name}-evil")  # its name begins like that of the dump
    evil.mkdir()
    (evil / "1.jpg").write_text("of another")
    (dump / "images" / "evil.jpg").symlink_to(evil / "1.jpg")
    (dump / "evil").symlink_to(evil)
    (dump / "images" / "link.jpg").symlink_to(tmp_path / "secret")
    (dump / "images" / "gone.jpg").symlink_to(tmp_path / "nothing")
    (dump / "images" / "loop.jpg").symlink_to(dump / "images" / "loop.jpg")
    (dump / "elsewhere").symlink_to(tmp_path)
    (dump / "again").symlink_to(dump)
    os.mkfifo(dump / "images" / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(dump)  # a socket's path may have 107 characters
        try:
            listener.bind("s")
        finally:
            os.chdir(here)
    Path(os.fsdecode(os.fsencode(dump) + b"/\xff.jpg")).touch()
    (dump / "new\nline.jpg").touch()
    report = run_stage("extract", NIGHT)
    assert set(contents(extracted(workspace))) == good | {"manifest.json"}
    assert report.dropped == {"bad_name": 2, "missing": 2, "not_a_file": 2, "outside_dump": 2}
    assert report.read["files"] == report.written["files"] + sum(report.dropped.values())


@pytest.mark.parametrize(("inside", "words"), [(False, "is a link out of the dump"), (True, "is not a regular file")])
def test_a_listing_file_that_is_none_is_refused_by_name(
    workspace: Path, tmp_path: Path, inside: bool, words: str
) -> None:
    declare(workspace)
    dump = dumped(workspace / "work" / "dumps" / NIGHT)
    (tmp_path / "secret").write_text('{"listing_id": "of another", "title": "Mug"}\n')
    (dump / "listings-9999.jsonl").symlink_to(dump / "gone" if inside else tmp_path / "secret")
    with pytest.raises(ContractError, match=f"a listing file {words}.*listings-9999"):
        run_stage("extract", NIGHT)
    assert not extracted(workspace).exists()


class _Shop(SimpleHTTPRequestHandler):
    broken: frozenset[str] = frozenset()

    def do_GET(self) -> None:
        if self.path in self.broken:
            self.send_error(403)
            return
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Shop, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
    _Shop.broken = frozenset()


def test_a_night_comes_by_url_and_is_the_folder_that_lies_there(workspace: Path, shop: tuple[Path, str]) -> None:
    folder, url = shop
    dump = dumped(folder / "exports" / NIGHT)
    (dump / "_SUCCESS").unlink()
    declare(workspace, where=f"{url}/exports/{{night}}", transfer={"attempts": 1})
    assert why_waiting(NIGHT)
    (dump / "_SUCCESS").touch()
    assert why_waiting(NIGHT) == "", "no look is answered from memory"
    assert run_stage("extract", NIGHT).outcome == "written"
    got = contents(extracted(workspace))
    del got["manifest.json"]
    assert got | {"_SUCCESS": b""} == contents(dump)
    assert run_stage("extract", NIGHT).outcome == "unchanged"


def test_a_photo_that_the_shop_does_not_give_is_counted_and_a_listing_file_is_waited_for(
    workspace: Path, shop: tuple[Path, str]
) -> None:
    folder, url = shop
    dump = dumped(folder / "exports" / NIGHT)
    photo = sorted((dump / "images").iterdir())[0].name
    declare(workspace, where=f"{url}/exports/{{night}}", transfer={"attempts": 1, "max_unreadable_share": 0.5})
    _Shop.broken = frozenset({f"/exports/{NIGHT}/images/{photo}"})
    assert run_stage("extract", NIGHT).dropped == {"unreadable": 1}
    shutil.rmtree(extracted(workspace))
    _Shop.broken = frozenset({f"/exports/{NIGHT}/listings-0000.jsonl.gz"})
    with pytest.raises(NotReadyError, match=r"listings-0000\.jsonl\.gz"):
        run_stage("extract", NIGHT)
    _Shop.broken = frozenset(f"/exports/{NIGHT}/images/{path.name}" for path in (dump / "images").iterdir())
    with pytest.raises(NotReadyError, match="max_unreadable_share"):
        run_stage("extract", NIGHT)


def test_a_shop_that_does_not_answer_is_waited_for_and_a_scheme_that_nobody_knows_is_not(workspace: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    declare(workspace, where=f"http://127.0.0.1:{port}/{{night}}")
    with pytest.raises(NotReadyError, match="not ready"):
        run_stage("extract", NIGHT)
    declare(workspace, where="carrier-pigeon://loft/{night}")
    with pytest.raises(ConfigError, match=r"carrier-pigeon.*source\.where"):
        run_stage("extract", NIGHT)


def test_what_the_source_must_say() -> None:
    assert locate(SourceConfig(where="s3://shop/{night:%Y/%m}/{night}"), NIGHT) == "s3://shop/2026/11/2026-11-01"
    for wrong in ("/exports", "/exports/{date}", "/exports/{night}/{shop}"):
        with pytest.raises(ValueError, match="night"):
            SourceConfig(where=wrong)
    for marker in ("", "..", "a/b"):
        with pytest.raises(ValueError, match="marker"):
            SourceConfig(markers=[marker])


def test_the_section_source_is_the_stages_and_none_of_it_is_in_the_manifest(workspace: Path) -> None:
    declare(workspace, where="work/dumps/{night}", wait={"timeout_s": 5})
    assert stage_config("extract").model_dump() == {}
    dumped(workspace / "work" / "dumps" / NIGHT)
    run_stage("extract", NIGHT)
    assert json.loads((extracted(workspace) / "manifest.json").read_text())["config"] == {}
    assert str(workspace) not in (extracted(workspace) / "manifest.json").read_text()
    assert digest_of(extracted(workspace))
    assert why_not_ready(str(workspace / "nowhere"), []) == "nothing is there"


def test_a_dump_that_is_one_file_needs_a_mapping(workspace: Path, tmp_path: Path) -> None:
    foreign(tmp_path / "shop", "1,mug")
    (tmp_path / "shop" / "products.csv").rename(tmp_path / "shop" / f"{NIGHT}.csv")
    declare(workspace, where=str(tmp_path / "shop" / "{night}.csv"))
    with pytest.raises(ConfigError, match="a dump is a folder"):
        run_stage("extract", NIGHT)
