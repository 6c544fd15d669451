"""Rows, files and partitions in another order: the same survivors and the same groups."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import write_dump
from market_nights import first_night

pytestmark = [pytest.mark.spark, pytest.mark.heavy, pytest.mark.fault(7)]


@pytest.mark.parametrize(("files", "parts"), [(3, 5), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_groups_and_survivors_do_not_depend_on_order_or_partitions(
    market_nights: Path, tmp_path: Path, files: int, parts: int
) -> None:
    rows, photos = first_night()
    random.Random(files).shuffle(rows)
    dump = write_dump(tmp_path / "dump", rows, photos, files=files)
    configs = {name: {"parts": parts} for name in ("ingest", "clean", "group")}
    run_chain(tmp_path / "permuted", dump, until="group", gate=False, **configs)
    before, after = market_nights / "1", tmp_path / "permuted"  # the first was one file, and has two partitions
    for folder in ("group/groups", "group/edges", "clean/listings"):
        assert _rows(after / folder) == _rows(before / folder), folder
        if parts == 2:
            assert _bytes(after / folder) == _bytes(before / folder), "equal rows and partitions are equal bytes"


def _rows(folder: Path) -> list[str]:
    return sorted(repr(row) for row in pq.read_table(folder).to_pylist())


def _bytes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]
