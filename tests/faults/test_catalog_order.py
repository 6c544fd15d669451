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


def test_groups_and_survivors_do_not_depend_on_order_or_partitions(market_nights: Path, tmp_path: Path) -> None:
    rows, photos = first_night()
    runs = [market_nights / "1"]  # one file, two partitions
    for files, parts in ((4, 2), (3, 5)):
        random.Random(files).shuffle(rows)
        runs.append(tmp_path / str(files))
        dump = write_dump(tmp_path / f"dump{files}", rows, photos, files=files)
        configs = {name: {"parts": parts} for name in ("ingest", "clean", "group")}
        run_chain(runs[-1], dump, until="group", gate=False, **configs)
    for folder in ("group/groups", "group/edges", "clean/listings"):
        first, *others = [_rows(run / folder) for run in runs]
        assert others == [first, first], folder
        permuted = [_bytes(run / folder) for run in runs[:2]]
        assert permuted[0] == permuted[1], "equal rows and partitions are equal bytes"


def _rows(folder: Path) -> list[str]:
    return sorted(repr(row) for row in pq.read_table(folder).to_pylist())


def _bytes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]
