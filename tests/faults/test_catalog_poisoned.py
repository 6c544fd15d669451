"""A poisoned night is refused with the metric that told it, and leaves a page that a person can read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from chain import run_chain
from dumps import market, write_dump
from snapshots import write_snapshot

from ecclip.core import GateError, digest_of

pytestmark = pytest.mark.fault(5)


def test_a_night_of_a_tenth_of_the_volume_is_refused_with_readable_reasons(tmp_path: Path) -> None:
    rows, photos = market(40)
    previous = write_snapshot(tmp_path / "previous", listings=120)
    before = digest_of(previous)
    dump = write_dump(tmp_path / "dump", rows[:12], photos)
    with pytest.raises(GateError, match="volume_against_previous"):
        run_chain(tmp_path / "work", dump, until="check", previous=previous)
    refused = tmp_path / "work" / "check.refused"
    verdict = json.loads((refused / "verdict.json").read_text())
    assert verdict["failed_expectations"] == ["volume_against_previous"]
    assert verdict["metrics"]["listings"] == 12
    page = next((refused / "data_docs" / "validations").rglob("*.html")).read_text()
    assert "volume_against_previous" in page
    assert str(tmp_path) not in page
    assert re.search(r"20[1-9][0-9]-[0-9]{2}-[0-9]{2}T", page) is None
    assert not (tmp_path / "work" / "check").exists()
    assert digest_of(previous) == before


def test_prices_out_of_range_and_one_category_for_all_are_refused(tmp_path: Path) -> None:
    rows, photos = market(30)
    for row in rows:
        row.update(price=str(float(row["price"]) * 1e9), category=["all", "one"])
    with pytest.raises(GateError) as caught:
        run_chain(tmp_path / "work", write_dump(tmp_path / "dump", rows, photos), until="check")
    assert "price_implausible" in str(caught.value)
    assert "category_largest_share" in str(caught.value)


def test_a_good_night_clears_the_refusal(tmp_path: Path) -> None:
    rows, photos = market(30)
    refused = tmp_path / "work" / "check.refused"
    refused.mkdir(parents=True)
    run_chain(tmp_path / "work", write_dump(tmp_path / "dump", rows, photos), until="check")
    assert not refused.exists()
    assert json.loads((tmp_path / "work" / "check" / "verdict.json").read_text())["passed"] is True
