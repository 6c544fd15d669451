"""A poisoned night is refused with the metric that told it and a page that a person can read; honest nights pass."""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import market, write_dump
from sample_nights import NIGHTS, Shop, lines_of, rows_of, scores

from ecclip.catalog.gate.stage import CheckConfig, check
from ecclip.catalog.publish.stage import PublishConfig, publish
from ecclip.core import ContractError, GateError, IntegrityError, digest_of, verify_folder
from ecclip.formats.documents import write_document

pytestmark = [pytest.mark.spark, pytest.mark.heavy, pytest.mark.fault(5)]
Row = dict[str, Any]


def copies(rows: list[Row], times: int, *, renamed: bool) -> list[Row]:
    """Return every row several times, under the same listing_id or under new ones."""
    again = [copy.deepcopy(row) for _ in range(times) for row in rows]
    for number, row in enumerate(again):
        if renamed:
            row["listing_id"] = f"X{number}"
    return again


def dearer(row: Row, factor: float) -> Row:
    return row | ({"price": str(float(row["price"]) * factor)} if row.get("price") else {})


def crowded(rows: list[Row]) -> list[Row]:
    chosen = set(random.Random(0).sample(range(len(rows)), len(rows) * 9 // 10))
    return [row | {"category": ["home", "all"]} if at in chosen else row for at, row in enumerate(rows)]


POISONS: dict[str, tuple[Callable[[list[Row]], list[Row]], set[str]]] = {
    "a_tenth_of_the_rows": (lambda rows: rows[::10], {"volume"}),
    "every_row_ten_times": (lambda rows: copies(rows, 10, renamed=True), {"volume", "repeated/content"}),
    "a_tenth_of_the_rows_ten_times": (lambda rows: copies(rows[::10], 10, renamed=True), {"repeated/content"}),
    "prices_x100": (lambda rows: [dearer(row, 100) for row in rows], {"price_shift/KRW", "price_shift/USD"}),
    "one_category_90_percent": (crowded, {"category_shift", "category_largest_share"}),
    "no_brands": (lambda rows: [row | {"brand": None} for row in rows], {"missing/brand"}),
    "no_age_label_is_true": (
        lambda rows: [row | {"age_restricted": False} for row in rows],
        {"label/age_restricted"},
    ),
    "other_currency": (lambda rows: [row | {"currency": "EUR"} for row in rows], {"currency_shift"}),
}
TWICE_TOLD = {"every_row_ten_times"}  # by metrics that tell others: for the slow suite
# changes of these that a shop may mean to make, and all that they fail by
MEANT = {"prices_x100": {"price_shift/KRW", "price_shift/USD"}, "no_age_label_is_true": {"label/age_restricted"}}


def refusal(shop: Shop, work: Path, dump: Path, **check: Any) -> GateError:
    before = digest_of(shop.last)
    with pytest.raises(GateError) as caught:
        run_chain(work, dump, until="check", previous=shop.last, check=check)
    assert not (work / "check").exists()
    verify_folder(shop.last)
    assert digest_of(shop.last) == before
    return caught.value


def failed(refused: Path) -> set[str]:
    return set(json.loads((refused / "verdict.json").read_text())["failed_expectations"])


def test_honest_nights_pass_and_carry_their_history(shop: Shop, tmp_path: Path) -> None:
    for number in range(NIGHTS):
        night = shop.folder / str(number)
        for folder in ("check", "publish"):
            verdict = json.loads((night / folder / "verdict.json").read_text())
            assert verdict["passed"] is True
            assert not (night / f"{folder}.refused").exists()
        history = json.loads((night / "publish" / "history.json").read_text())["nights"]
        assert len(history) == number + 1
        assert (
            history[-1]["shares"].items() >= json.loads((night / "check" / "facts.json").read_text())["shares"].items()
        )
    refused = tmp_path / "check.refused"
    refused.mkdir()
    former = shutil.copytree(shop.last, tmp_path / "former")
    write_document(former / "snapshot.json", "ecclip.snapshot/1", {})
    one_more = run_chain(tmp_path, shop.dumps[NIGHTS], until="check", previous=former)
    metrics = json.loads((one_more / "verdict.json").read_text())["metrics"]
    assert {"volume", "category_shift", "currency_shift", "price_shift/KRW", "resent_dump"} <= set(metrics)
    assert not refused.exists(), "a good night clears the refusal"


def test_a_history_that_cannot_be_used_is_an_error_that_says_where(shop: Shop, tmp_path: Path) -> None:
    damaged = shutil.copytree(shop.last, tmp_path / "damaged")
    history = json.loads((damaged / "history.json").read_text())
    history["nights"][-1]["listings"] = "many"
    (damaged / "history.json").write_text(json.dumps(history))
    with pytest.raises(IntegrityError, match=r"history\.json cannot be used; value: listings; .*next: run publish"):
        check(CheckConfig(), shop.folder / "0" / "ingest", damaged, tmp_path, tmp_path / "check")


def refused_by_its_metrics(shop: Shop, work: Path, name: str) -> tuple[Path, GateError]:
    poison, metrics = POISONS[name]
    dump = write_dump(work / "dump", poison(rows_of(shop.dumps[NIGHTS])))
    error = refusal(shop, work, dump, max_price=1e12)
    assert metrics <= failed(work / "check.refused")
    for metric in metrics:
        assert f"{metric} = " in str(error.value)
        assert f"{metric}: " in str(error.limit)
    return dump, error


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in TWICE_TOLD else name
        for name in sorted(POISONS.keys() - MEANT.keys())
    ],
)
def test_a_poisoned_dump_is_refused_with_the_metric_that_told_it(shop: Shop, tmp_path: Path, name: str) -> None:
    refused_by_its_metrics(shop, tmp_path, name)


@pytest.mark.parametrize("name", MEANT)
def test_a_change_that_is_meant_passes_by_the_fingerprint_that_the_refusal_names(
    shop: Shop, tmp_path: Path, name: str
) -> None:
    dump, error = refused_by_its_metrics(shop, tmp_path, name)
    assert failed(tmp_path / "check.refused") == MEANT[name]
    fingerprint, names = re.findall(r'accepted: \{"(\w+)": (\[.*\])\}', error.next_step)[0]
    accepted = {fingerprint: json.loads(names.replace("'", '"'))}
    checked = run_chain(
        tmp_path, dump, until="check", previous=shop.last, check={"max_price": 1e12, "shift": {"accepted": accepted}}
    )
    assert set(json.loads((checked / "facts.json").read_text())["accepted"]) == MEANT[name]
    assert not (tmp_path / "check.refused").exists()


def test_the_same_dump_sent_again_in_another_order_is_refused(shop: Shop, tmp_path: Path) -> None:
    lines: list[Any] = list(lines_of(shop.dumps[1]))
    random.Random(0).shuffle(lines)
    refusal(shop, tmp_path, write_dump(tmp_path / "dump", lines, files=2))
    assert failed(tmp_path / "check.refused") == {"resent_dump"}


def test_rows_that_repeat_their_identity_stop_before_the_gate(shop: Shop, tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump", copies(rows_of(shop.dumps[NIGHTS]), 10, renamed=False))
    with pytest.raises(ContractError, match="duplicate_listing_id"):
        run_chain(tmp_path, dump, until="check", previous=shop.last)


def test_titles_shuffled_against_photos_are_refused_before_publishing(shop: Shop, tmp_path: Path) -> None:
    before, night = digest_of(shop.last), shop.folder / str(NIGHTS - 1)
    pairs = scores(tmp_path / "pairs", shop.dumps[NIGHTS - 1], -0.5)
    inputs = [night / name for name in ("ingest", "check", "clean", "group")]
    previous = shop.folder / str(NIGHTS - 2) / "publish"
    cfg, empty = PublishConfig(), tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(GateError, match=r"the snapshot was refused: .*mismatch"):
        publish(cfg, *inputs, pairs, previous, empty, empty, tmp_path / "snapshot")
    assert not (tmp_path / "snapshot").exists()
    assert {"mismatch", "mismatch_share"} <= failed(tmp_path / "snapshot.refused")
    assert digest_of(shop.last) == before


def test_mismatched_listings_are_marked_and_in_no_shard(shop: Shop) -> None:
    listings = pq.read_table(shop.last / "listings", columns=["listing_id", "mismatch"]).to_pylist()
    marked = {row["listing_id"] for row in listings if row["mismatch"]}
    manifest = verify_folder(shop.last)
    assert 0 < len(marked) < len(listings) / 20
    assert manifest.dropped["mismatch"] == len(marked)
    shards = [pq.read_table(path, columns=["listing_id"]) for path in sorted((shop.last / "shards").glob("*.parquet"))]
    assert marked.isdisjoint(pa.concat_tables(shards)["listing_id"].to_pylist())


def test_prices_out_of_range_and_one_category_for_all_are_refused_on_the_first_night(tmp_path: Path) -> None:
    rows, photos = market(30)
    for row in rows:
        row.update(price=str(float(row["price"]) * 1e9), category=["all", "one"])
    with pytest.raises(GateError) as caught:
        run_chain(tmp_path / "work", write_dump(tmp_path / "dump", rows, photos), until="check")
    refused = tmp_path / "work" / "check.refused"
    assert failed(refused) == {"price_implausible", "category_largest_share"}
    assert "price_implausible" in str(caught.value)
    pages = "".join(path.read_text() for path in (refused / "data_docs" / "validations").rglob("*.html"))
    assert "category_largest_share" in pages
    assert str(tmp_path) not in pages
    assert re.search(r"20[1-9][0-9]-[0-9]{2}-[0-9]{2}T", pages) is None


def test_one_sellers_labels_cost_no_night(shop: Shop, tmp_path: Path) -> None:
    rows = rows_of(shop.dumps[NIGHTS])
    one = Counter(row["seller_id"] for row in rows).most_common()[-1][0]
    wrong = {"age_restricted": True, "category": ["<b>all</b>"], "attributes": {"${x} <script>": "[red]\x1b"}}
    mine = [row | (wrong if row["seller_id"] == one else {}) for row in rows]
    run_chain(tmp_path, write_dump(tmp_path / "dump", mine), until="check", previous=shop.last)
