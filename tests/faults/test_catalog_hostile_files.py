"""A hostile file is refused by name, or costs one record; a name with pattern characters is a name."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chain import run_chain
from dumps import write_dump
from hostile_rows import ingested, plain

from ecclip.core import ContractError

pytestmark = pytest.mark.fault(37)


def test_one_packed_line_of_half_a_gibibyte_is_one_refused_record(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", [plain("good0")])
    with gzip.open(dump / "listings-bomb.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(json.dumps(plain("good1")).encode() + b'\n{"listing_id": "')
        for _ in range(32):
            file.write(b"x" * (16 << 20))
        file.write(b'"}\n' + json.dumps(plain("good2")).encode())
    _, published, dropped = ingested(tmp_path / "work", dump)
    assert published == {"good0", "good1", "good2"}
    assert dropped == {"record_too_large": 1}


_READ = """
import resource, sys
from pathlib import Path
from ecclip.catalog._files import listing_rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print([row.problem for row in listing_rows(Path(sys.argv[1]))])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".json.gz", ".csv.gz"])
def test_a_packed_record_of_no_end_is_read_past_in_little_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"listings{suffix}"
    start = {".jsonl.gz": b'{"a": "', ".json.gz": b'[{"a": "', ".csv.gz": b'a,b\n"'}[suffix]
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(32):
            file.write(b"x" * (16 << 20))
    done = subprocess.run([sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    problems, grown_kib = done.stdout.splitlines()
    assert problems in ("['record_too_large']", "['malformed_record']")
    assert int(grown_kib) < 128 << 10


@pytest.mark.parametrize("inside", [True, False])
def test_a_link_out_of_the_dump_is_refused_and_one_within_is_not(tmp_path: Path, inside: bool) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    secret = (dump if inside else tmp_path) / "secret"
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
    with pytest.raises(ContractError, match=r"no regular file.*listings-pipe\.jsonl"):
        run_chain(tmp_path / "work", dump, until="land")


@pytest.mark.parametrize(
    "name", ["listings-[1].jsonl", "listings*.jsonl", "listings {a,b}?.jsonl", "listings-é .jsonl"]
)
def test_pattern_characters_in_a_name_are_a_name(tmp_path: Path, name: str) -> None:
    dump = write_dump(tmp_path / "dump", [plain("l0")])
    (dump / "listings-1.jsonl").write_text(json.dumps(plain("l1")) + "\n")
    (dump / name).write_text(json.dumps(plain("l2")) + "\n")
    assert ingested(tmp_path / "work", dump)[1] == {"l0", "l1", "l2"}
