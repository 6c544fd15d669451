"""The facts of a night against plain Python, and the same whatever the order of rows and partitions."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import run_chain
from dumps import market, write_dump
from facts import facts_of

from ecclip.catalog.dump.contract import listing_columns
from ecclip.catalog.gate.history import NightFacts
from ecclip.catalog.spark.session import spark_session

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    found, _ = market(60)
    for number, row in enumerate(found):
        row["currency"] = [None, "EUR", "USD"][number % 3]
        row["attributes"] = {"color": "red", "size": str(number)} if number % 2 else None
        row["brand"] = row["brand"] if number % 5 else None
        row["category"] = row["category"] if number % 7 else None
        row["deleted"] = number % 20 == 3
        row["age_restricted"] = [None, False, True, False][number % 4]
        row["seller_id"] = f"s{number % 9 if number % 3 else 0}"  # one of them is no one of many
    found[0]["price"], found[1]["price"] = "0", "cheap"
    return found


@pytest.fixture(scope="module")
def night(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("night")
    run_chain(work, write_dump(work / "dump", rows), until="check")
    return work


@pytest.fixture(scope="module")
def facts(night: Path) -> NightFacts:
    return NightFacts.model_validate_json((night / "check" / "facts.json").read_text())


def test_label_shares_are_their_plain_python_twin(rows: list[dict[str, Any]], facts: NightFacts) -> None:
    good = [row for row in rows if not row["deleted"] and row["price"] != "cheap"]
    labels = {row["listing_id"]: _labels_of(row) for row in good}
    sellers = Counter(row["seller_id"] for row in good)
    total, small = len(good), {name: count for name, count in sellers.items() if count <= 0.2 * len(good)}
    assert small
    assert set(facts.labels) == {"labelled"} | {label for found in labels.values() for label in found}
    for label, found in facts.labels.items():
        counts = Counter(row["seller_id"] for row in good if label in labels[row["listing_id"]])
        most, own = max(((counts[name], rows) for name, rows in small.items() if counts[name]), default=(0, 0))
        low, high = (counts.total() - most) / (total - own), counts.total() / (total - max(small.values()))
        assert found.share == pytest.approx(counts.total() / total, abs=1e-6)
        assert found.low == pytest.approx(min(found.share, low), abs=1e-6)
        assert found.high == pytest.approx(min(high, 1.0), abs=1e-6)


def _labels_of(row: dict[str, Any]) -> set[str]:
    labels = {f"label/category/{'/'.join(row['category'])}"} if row["category"] else set()
    for name, value in (row["attributes"] or {}).items():
        labels |= {f"label/attribute/{name}", f"label/attribute/{name}={value}"}
    labels |= {"labelled"} if labels or row["age_restricted"] is not None else set()
    return labels | ({"label/age_restricted"} if row["age_restricted"] else set())


def test_facts_are_their_plain_python_twin(rows: list[dict[str, Any]], facts: NightFacts) -> None:
    good = [row for row in rows if not row["deleted"] and row["price"] != "cheap"]
    assert facts.listings == len(good)
    for name in ("brand", "category", "attributes", "currency"):
        assert facts.shares[f"missing/{name}"] == pytest.approx(
            sum(not row[name] for row in good) / len(good), abs=1e-6
        )
    assert facts.shares["missing/photo"] == facts.shares["missing/price"] == 0
    assert facts.shares["missing/description"] == 1
    assert facts.shares["dropped/deleted"] == pytest.approx(sum(row["deleted"] for row in rows) / len(rows), abs=1e-6)
    assert facts.shares["dropped/bad_price"] == pytest.approx(1 / len(rows), abs=1e-6)
    titles = 1 - len({row["title"] for row in good}) / len(good)
    assert facts.shares["repeated/title"] == pytest.approx(titles, abs=0.02)
    assert facts.shares["repeated/content"] == pytest.approx(0, abs=0.02)
    assert facts.distributions["category"] == Counter("/".join(row["category"]) for row in good if row["category"])
    assert facts.distributions["currency"] == Counter(row["currency"] or "(unknown)" for row in good)
    for currency, prices in facts.prices.items():
        known = [float(row["price"]) for row in good if (row["currency"] or "(unknown)") == currency]
        known = [price for price in known if price > 0]
        assert prices.listings == len(known)
        for share, value in prices.log10_quantiles.items():
            assert value == pytest.approx(math.log10(np.quantile(known, float(share))), abs=1e-5)


def test_the_order_of_rows_and_the_partitions_do_not_matter(
    rows: list[dict[str, Any]], facts: NightFacts, tmp_path: Path
) -> None:
    shuffled = [dict(random.Random(number).sample(list(row.items()), len(row))) for number, row in enumerate(rows)]
    random.Random(0).shuffle(shuffled)
    dump = write_dump(tmp_path / "dump", shuffled, files=3)
    assert facts_of(tmp_path, dump, ingest={"parts": 5}) == facts


def test_one_changed_value_is_another_fingerprint(
    rows: list[dict[str, Any]], facts: NightFacts, tmp_path: Path
) -> None:
    changed = [*rows[:-1], {**rows[-1], "attributes": {"color": "blue"}}]
    found = facts_of(tmp_path, write_dump(tmp_path / "dump", changed))
    assert found.fingerprint != facts.fingerprint
    assert found.listings == facts.listings


def test_ingested_listings_have_the_schema_of_the_contract(night: Path) -> None:
    frame = spark_session(2, night / "ingest").read.parquet(str(night / "ingest" / "listings"))
    assert frame.dtypes == list(listing_columns().items())


def test_check_leaves_a_verdict_with_the_limits(facts: NightFacts, night: Path) -> None:
    verdict = json.loads((night / "check" / "verdict.json").read_text())
    assert verdict["passed"] is True
    assert verdict["fingerprint"] == facts.fingerprint
    assert verdict["metrics"].keys() == verdict["limits"].keys() >= {"listings", "title_missing", "listing_id_repeated"}
