"""Schema drift stops the run before any row is judged; what the contract allows to change passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import market, write_dump

from ecclip.core import ContractError

pytestmark = [pytest.mark.spark, pytest.mark.heavy, pytest.mark.fault(4)]
Row = dict[str, Any]


def renamed(row: Row) -> Row:
    return {("name" if key == "title" else key): value for key, value in row.items()}


DRIFTS: dict[str, tuple[Callable[[Row], Row], str]] = {
    "renamed": (renamed, "a required column is missing: title"),
    "key_gone": (lambda row: {k: v for k, v in row.items() if k != "listing_id"}, "missing: listing_id"),
    "key_is_int": (lambda row: {**row, "listing_id": 7}, "listing_id is int, not str"),
    "category_is_int": (lambda row: {**row, "category": 12}, "category is int, not list or str"),
    "price_is_object": (lambda row: {**row, "price": {"amount": 1}}, "price is dict"),
    "attributes_is_list": (lambda row: {**row, "attributes": ["red"]}, "attributes is list, not dict"),
}
ALLOWED: dict[str, Callable[[Row], Row]] = {
    "reordered": lambda row: dict(reversed(row.items())),
    "new_value": lambda row: {**row, "currency": "ISK"},
    "new_category_and_attribute": lambda row: {**row, "category": ["new", "leaf"], "attributes": {"new": "value"}},
    "added": lambda row: {**row, "warehouse": {"name": "north"}},
}


@pytest.mark.parametrize("name", DRIFTS)
def test_drift_is_an_error_that_names_the_column(tmp_path: Path, name: str) -> None:
    change, message = DRIFTS[name]
    rows, _ = market(12)
    with pytest.raises(ContractError, match="schema drift") as caught:
        run_chain(tmp_path, write_dump(tmp_path / "dump", [change(row) for row in rows]), until="ingest")
    assert message in str(caught.value)
    assert caught.value.next_step
    assert not (tmp_path / "ingest").exists()


@pytest.mark.parametrize("name", ALLOWED)
def test_an_allowed_change_passes_and_loses_nothing(tmp_path: Path, name: str) -> None:
    rows, _ = market(12)
    dump = write_dump(tmp_path / "dump", [ALLOWED[name](row) for row in rows])
    out = run_chain(tmp_path, dump, until="ingest")
    assert pq.read_table(out / "listings").num_rows == len(rows)


def test_a_null_key_is_quarantined_not_a_drift(tmp_path: Path) -> None:
    rows, _ = market(12)
    rows[0]["listing_id"] = None
    out = run_chain(tmp_path, write_dump(tmp_path / "dump", rows), until="ingest")
    (rejected,) = pq.read_table(out / "quarantine").to_pylist()
    assert rejected["reason"] == "missing_listing_id"
