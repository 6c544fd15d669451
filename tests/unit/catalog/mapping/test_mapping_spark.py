"""Spark maps a large export to the bytes that one process maps it to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecclip.catalog.mapping.map_dump import ROWS_PER_FILE, map_dump
from ecclip.catalog.mapping.model import Mapping
from ecclip.core import ConfigError, ContractError

pytestmark = pytest.mark.spark

NIGHT = "2026-11-01"


def mapping(**more: Any) -> Mapping:
    columns = {
        "listing_id": "sku",
        "title": {"template": "{brand} {name}"},
        "price": {"column": "price", "number": True},
        "currency": {"constant": "EUR"},
        "image_uri": "photo",
    }
    source = {"format": "csv", "files": ["*.csv"], "delimiter": ";"}
    return Mapping.model_validate({"schema": "ecclip.mapping/1", "source": source, "columns": columns, **more})


def export(folder: Path, sizes: list[int]) -> Path:
    """Write files of so many rows: prices whose sign only the whole column tells, bad rows, photos."""
    folder.mkdir()
    (folder / "photos").mkdir()
    row = 0
    for number, size in enumerate(sizes):
        lines = ["sku;brand;name;price;photo"]
        for _ in range(size):
            row += 1
            price = "12,99" if row == 7 else f"{row % 9 + 1}.299" if number else str(row)
            lines.append(f"s{row};Arvo;mug {row};{price};" + (f"photos/{row}.jpg" if row % 50 == 1 else ""))
            if row % 400 == 3:
                lines.append(f"broken;{row};too;many;cells;here")
            if row % 50 == 1 and row % 100 == 1:
                (folder / "photos" / f"{row}.jpg").write_bytes(f"photo {row}".encode())
        (folder / f"part-{number}.csv").write_text("\n".join(lines) + "\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bytes_and_counts_of_spark_are_those_of_one_process(tmp_path: Path) -> None:
    source = export(tmp_path / "shop", [ROWS_PER_FILE // 2, 3, ROWS_PER_FILE, 40])
    loose = mapping(limits={"missing_photos": 0.9})
    alone = map_dump(loose, str(source), tmp_path / "alone", NIGHT)
    spread = map_dump(loose, str(source), tmp_path / "spread", NIGHT, spark_bytes=1)
    assert spread == alone
    assert alone.dropped["too_many_cells"] > 9
    assert alone.read["rows"] == alone.written["listings"] + sum(alone.dropped.values())
    one, other = contents(tmp_path / "alone"), contents(tmp_path / "spread")
    assert sorted(other) == sorted(one)
    assert [name for name in one if one[name] != other[name]] == []
    assert {"listings-0000.parquet", "listings-0001.parquet", "photos/101.jpg"} <= set(one)

    strict = mapping(limits={"missing_photos": 0.01})
    said = []
    for spark_bytes in (None, 1):
        with pytest.raises(ContractError, match="photos") as refused:
            map_dump(strict, str(source), tmp_path / "refused", NIGHT, spark_bytes=spark_bytes)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert not (tmp_path / "refused").exists()

    (source / "part-2.csv").write_text("sku;brand;name;name;price;photo\n")
    for spark_bytes in (None, 1):
        with pytest.raises((ContractError, ConfigError), match=r"part-2\.csv") as wrong:
            map_dump(loose, str(source), tmp_path / "refused", NIGHT, spark_bytes=spark_bytes)
        said.append(f"{type(wrong.value)} {wrong.value}")
    assert said[2] == said[3]
