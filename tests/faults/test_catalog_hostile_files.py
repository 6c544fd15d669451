"""A hostile file is refused by name, or costs one record; a name with pattern characters is a name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import picture, write_dump
from hostile_rows import ingested, packed_line, plain

from ecclip.catalog.mapping.map_dump import map_dump
from ecclip.catalog.mapping.model import Mapping
from ecclip.core import ConfigError, ContractError, read_manifest

pytestmark = [pytest.mark.spark, pytest.mark.fault(37)]


def test_one_packed_line_of_a_quarter_of_a_gibibyte_is_one_refused_record(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [plain("good0")])
    first, last = (json.dumps(plain(name)).encode() for name in ("good1", "good2"))
    bomb = packed_line(first + b'\n{"listing_id": "', 256, b'"}\n' + last)
    (dump / "listings-bomb.jsonl.gz").write_bytes(bomb)
    _, published, dropped = ingested(tmp_path / "work", dump)
    assert published == {"good0", "good1", "good2"}
    assert dropped == {"record_too_large": 1}


_READ = """
import resource, sys
from pathlib import Path
from ecclip.catalog.dump.listing_files import listing_rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print([row.problem for row in listing_rows(Path(sys.argv[1]))])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".json.gz", ".csv.gz"])
def test_a_packed_record_of_no_end_is_read_past_in_little_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"listings{suffix}"
    start = {".jsonl.gz": b'{"a": "', ".json.gz": b'[{"a": "', ".csv.gz": b'a,b\n"'}[suffix]
    path.write_bytes(packed_line(start, 256))
    done = subprocess.run([sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    problems, grown_kib = done.stdout.splitlines()
    assert problems in ("['record_too_large']", "['malformed_record']")
    assert int(grown_kib) < 128 << 10


@pytest.mark.parametrize("folder", ["dump", "dump-evil", "."])
def test_a_link_out_of_the_dump_is_refused_and_one_within_is_not(tmp_path: Path, folder: str) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    secret, inside = tmp_path / folder / "secret", folder == "dump"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text(json.dumps(plain("l1")) + "\n")
    (dump / "listings-link.jsonl").symlink_to(secret)
    if inside:
        (tmp_path / "linked").symlink_to(dump)  # the dump itself may be a link
        assert ingested(tmp_path / "work", tmp_path / "linked")[1] == {"l0", "l1"}
        return
    with pytest.raises(ContractError, match="a listing file is a link out of the dump") as caught:
        run_chain(tmp_path / "work", dump, until="land")
    assert "listings-link.jsonl" in str(caught.value)
    assert not (tmp_path / "work" / "land").exists()


def test_a_listing_file_that_is_a_pipe_is_refused_unopened(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    os.mkfifo(dump / "listings-pipe.jsonl")
    with pytest.raises(ContractError, match=r"not a regular file.*listings-pipe\.jsonl"):
        run_chain(tmp_path / "work", dump, until="land")


@pytest.mark.parametrize(
    "name", ["listings-[1].jsonl", "listings*.jsonl", "listings {a,b}?.jsonl", "listings-é .jsonl"]
)
def test_pattern_characters_in_a_name_are_a_name(tmp_path: Path, name: str) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    (dump / "listings-1.jsonl").write_text(json.dumps(plain("l1")) + "\n")
    (dump / name).write_text(json.dumps(plain("l2")) + "\n")
    assert ingested(tmp_path / "work", dump)[1] == {"l0", "l1", "l2"}


@pytest.mark.parametrize(
    "name",
    ["listings-2.csv.zst", "listings.xlsx", "listings.json.bz2", "listings_b", "Listings.csv", "listings-2.JSONL"],
)
def test_a_listing_file_of_a_form_that_nothing_reads_is_named_with_those_that_are_read(
    tmp_path: Path, name: str
) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    (dump / name).write_text(json.dumps(plain("l1")) + "\n")
    with pytest.raises(ContractError, match=r"an unsupported format.*listings\*\.jsonl\.gz") as caught:
        run_chain(tmp_path / "work", dump, until="land")
    assert f"/{name};" in str(caught.value)
    assert not (tmp_path / "work" / "land").exists()


@pytest.mark.parametrize("name", ["listings.parquet", "listings", "listings-2.csv"])
def test_a_folder_of_listings_is_not_passed_over(tmp_path: Path, name: str) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    (dump / name).mkdir()
    (dump / name / "part-00000.csv").write_text("listing_id,title\nl1,Mug\n")
    with pytest.raises(ContractError, match=rf"a listing folder has an unsupported format.*/{name};"):
        run_chain(tmp_path / "work", dump, until="land")


def test_sums_and_photos_may_have_the_name_of_listings(tmp_path: Path) -> None:
    rows = [plain("l0", image_uri="listings/a.jpg"), plain("l1", image_uri="listings-b.PNG")]
    photos = {"listings/a.jpg": picture(1), "listings-b.PNG": picture(2)}
    dump = write_dump(tmp_path / "dump", rows, photos)
    (dump / "listings-0000.jsonl.gz.md5").write_text("0")
    run_chain(tmp_path / "work", dump, until="land")
    landed = read_manifest(tmp_path / "work" / "land")
    assert landed is not None
    assert (landed.read["files"], landed.written["photos"]) == (1, 2)


def _as_zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("products.csv", data)
    return buffer.getvalue()


def _as_tar(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        entry = tarfile.TarInfo("products.csv")
        entry.size = len(data)
        file.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _as_parquet(data: bytes) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"listing_id": ["1"], "title": [data.decode()]}), buffer)
    return buffer.getvalue()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "csv.zst": ("Zstandard", lambda data: pa.compress(data, codec="zstd", asbytes=True)),
    "csv.bz2": ("bzip2", bz2.compress),
    "csv.xz": ("xz", lzma.compress),
    "xlsx": ("zip", _as_zip),
    "tar": ("tar", _as_tar),
    "parquet": ("Parquet", _as_parquet),
    "csv": ("gzip", gzip.compress),
    "csv.gz": ("gzip", lambda data: gzip.compress(gzip.compress(data))),
    "tar.gz": ("tar", lambda data: gzip.compress(_as_tar(data))),
}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("whole", [True, False])
def test_a_foreign_table_that_is_no_text_is_named_and_none_of_it_is_read(
    tmp_path: Path, suffix: str, whole: bool
) -> None:
    what, pack = PACKED[suffix]
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / f"products-2.{suffix}").write_bytes(pack(b"listing_id,title\n2,Lamp\n" * 5))
    if not whole:
        (shop / "products-1.csv").write_text("listing_id,title\n1,Mug\n")
    mapping = {
        "schema": "ecclip.mapping/1",
        "source": {"format": "csv", "files": ["products*"]},
        "columns": {"listing_id": "listing_id", "title": "title"},
    }
    source = shop / f"products-2.{suffix}" if whole else shop
    with pytest.raises(ContractError, match=rf"products-2\.{re.escape(suffix)}: the file is not text.*{what}"):
        map_dump(Mapping.model_validate(mapping), str(source), tmp_path / "out", "2026-11-01")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["listings.csv", "listings-2.jsonl", "listings.jsonl.gz"])
def test_a_listing_file_that_is_no_text_is_named_whatever_its_suffix(tmp_path: Path, name: str) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    data = _as_zip(b"listing_id,title\n1,Mug\n")
    (dump / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(ContractError, match=rf"{re.escape(name)}: the file is not text.*zip"):
        run_chain(tmp_path / "work", dump, until="land")


def test_a_pattern_of_a_mapping_that_names_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop" / "products.csv").mkdir(parents=True)
    mapping = {
        "schema": "ecclip.mapping/1",
        "source": {"format": "csv", "files": ["*.csv"]},
        "columns": {"listing_id": "listing_id", "title": "title"},
    }
    with pytest.raises(ConfigError, match=r"are a folder.*products\.csv"):
        map_dump(Mapping.model_validate(mapping), str(tmp_path / "shop"), tmp_path / "out", "2026-11-01")


def test_a_dump_of_empty_files_is_refused_and_not_an_empty_night(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [plain("good0")])
    for path in dump.glob("listings*"):
        path.unlink()
    (dump / "listings-0.csv").write_text("listing_id,title\n")
    (dump / "listings-1.jsonl").write_bytes(b"")
    with pytest.raises(ContractError, match=r"the dump has no rows.*listings-0\.csv, listings-1\.jsonl"):
        run_chain(tmp_path / "work", dump, until="ingest")
