"""The catalog's answers: by the bundle's own code, what changed alone is asked again, and nobody is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_bundles import sealed, tiny_bundle
from snapshots import change_listings, write_snapshot

from ecclip.core import ContractError, IntegrityError, Report, ServiceError, digest_of
from ecclip.formats.answers import Grouped, read_answers, read_origin, write_grouped
from ecclip.formats.bundle import REPORT_PAGE, lineage_of
from ecclip.formats.columns import IMAGE_ERROR, TITLE_ORIGINAL
from ecclip.serving import AnswersConfig, answers

pytestmark = pytest.mark.heavy

LISTINGS = 60


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("catalog") / "2026-01-01", LISTINGS)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nothing")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, snapshot: Path, nothing: Path) -> Path:
    """The answers of the first night."""
    output = tmp_path_factory.mktemp("answered") / "first"
    report = _answer(snapshot, output, products=nothing, previous=nothing)
    assert (report.read, report.written, report.dropped) == ({"listings": LISTINGS}, {"answers": LISTINGS}, {})
    assert report.detail["computed"] == LISTINGS
    return output


def _answer(snapshot: Path, output: Path, **given: Path) -> Report:
    cfg = AnswersConfig(max_refused_share=0.5)
    return answers(cfg, snapshot, given["products"], given.get("bundle", tiny_bundle(0)), given["previous"], output)


def _rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["listing_id"]: row for row in read_answers(folder)[0].to_pylist()}


def test_every_listing_has_a_row_that_says_who_answered(first: Path) -> None:
    table, refused = read_answers(first)
    lineage = lineage_of(digest_of(tiny_bundle(0)))
    assert table["listing_id"].to_pylist() == [f"l{number:06d}" for number in range(LISTINGS)]
    assert set(table["lineage_id"].to_pylist()) == {lineage} == {read_origin(first).lineage_id}
    assert refused.num_rows == 0
    rows = _rows(first)
    assert {len(row["category"]) for row in rows.values()} == {3}
    assert {row["category_decision"] for row in rows.values()} <= {"auto", "review"}
    # of a title alone nobody said whether it is restricted
    alone = rows["l000007"]
    assert (alone["age_restricted_score"], alone["age_restricted_decision"]) == (None, "unknown")
    assert isinstance(rows["l000000"]["age_restricted_score"], float)
    assert {one["name"] for row in rows.values() for one in row["attributes"]} == {"color"}
    assert table["product_id"].null_count == LISTINGS


def test_a_photo_that_cleaning_rejected_is_left_out_and_its_title_answered(first: Path) -> None:
    row = _rows(first)["l000013"]
    assert row["category"]
    assert row["age_restricted_decision"] == "unknown", "as of a title alone"


def test_only_what_changed_is_asked_again_and_rows_in_are_rows_out(
    snapshot: Path, nothing: Path, first: Path, tmp_path: Path
) -> None:
    second = tmp_path / "2026-01-02"
    shutil.copytree(snapshot, second)
    changed = {"l000001": "a blue lamp", "l000002": "", "l000007": ""}  # the third has no photo either

    def change(row: dict[str, Any]) -> None:
        row[TITLE_ORIGINAL] = changed.get(row["listing_id"], row[TITLE_ORIGINAL])
        if row["listing_id"] == "l000004":
            row["listing_id"] = "new"

    change_listings(second, change)
    sealed(second)
    report = _answer(second, tmp_path / "second", products=nothing, previous=first)
    assert report.detail["computed"] == 4
    assert (report.written, report.dropped) == ({"answers": LISTINGS - 1}, {"nothing": 1})
    before, after = _rows(first), _rows(tmp_path / "second")
    assert before["l000000"] == after["l000000"]
    assert {name for name, row in after.items() if row != before.get(name)} == {"l000001", "l000002", "new"}
    assert before.keys() - after.keys() == {"l000004", "l000007"}
    _, refused = read_answers(tmp_path / "second")
    assert refused.select(["listing_id", "reason", "error"]).to_pylist() == [
        {"listing_id": "l000007", "reason": "nothing", "error": "neither an image nor a title is given"}
    ]
    third = _answer(second, tmp_path / "third", products=nothing, previous=tmp_path / "second")
    assert third.detail["computed"] == 0
    assert third.dropped == {"nothing": 1}, "what was refused is refused again without being asked"
    assert _rows(tmp_path / "third") == after
    assert _answer(second, tmp_path / "third", products=nothing, previous=tmp_path / "second").outcome == "unchanged"


def test_another_bundle_answers_everything_anew(snapshot: Path, nothing: Path, first: Path, tmp_path: Path) -> None:
    other = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(0), other)
    (other / REPORT_PAGE).write_text("another page makes another bundle")
    report = _answer(snapshot, tmp_path / "other", products=nothing, previous=first, bundle=sealed(other))
    assert report.detail["computed"] == LISTINGS
    assert read_origin(tmp_path / "other").bundle == digest_of(other) != digest_of(tiny_bundle(0))


def test_each_listing_has_its_product(snapshot: Path, first: Path, tmp_path: Path) -> None:
    products = tmp_path / "products"
    products.mkdir()
    ids = [f"l{number:06d}" for number in range(LISTINGS - 1)]  # the last one is newer than the products
    found = {listing: f"l{number // 2 * 2:06d}" for number, listing in enumerate(ids)}
    grouped = Grouped(found, dict.fromkeys(ids, "a digest"), [], [], np.zeros(0, np.float32), "")
    write_grouped(grouped, np.full(len(ids), np.nan), products)
    later = tmp_path / "2026-01-02"
    shutil.copytree(snapshot, later)
    report = _answer(later, tmp_path / "answered", products=products, previous=first)
    assert report.detail["computed"] == 0
    rows = _rows(tmp_path / "answered")
    assert [rows[name]["product_id"] for name in ("l000004", "l000005")] == ["l000004", "l000004"]
    assert rows[f"l{LISTINGS - 1:06d}"]["product_id"] is None


def test_too_many_refused_listings_stop_the_run(snapshot: Path, nothing: Path, tmp_path: Path) -> None:
    emptied = tmp_path / "2026-01-02"
    shutil.copytree(snapshot, emptied)
    change_listings(emptied, lambda row: row.update({TITLE_ORIGINAL: None, IMAGE_ERROR: "truncated"}))
    with pytest.raises(ContractError, match=rf"nothing {LISTINGS}.*max_refused_share"):
        _answer(sealed(emptied), tmp_path / "answered", products=nothing, previous=nothing)
    assert not (tmp_path / "answered").exists()


def test_the_code_of_the_bundle_answers_and_not_that_of_this_process(
    snapshot: Path, nothing: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(0), bundle)
    task = next((bundle / "code" / "tasks").glob("*category.py"))
    task.write_text(
        task.read_text() + "\nTASK.answer = lambda *_: {'CATEGORY': [['of', 'then']], 'CATEGORY_SCORE': [1.0]}\n"
    )
    with pytest.raises(ServiceError, match="BundleError: answer of a known listing differ from those of training"):
        _answer(snapshot, tmp_path / "answered", products=nothing, previous=nothing, bundle=sealed(bundle))


def test_a_bundle_that_was_damaged_or_is_older_is_refused(snapshot: Path, nothing: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(0), bundle)
    (bundle / "code/ecclip/serving/answering/worker.py").unlink()
    with pytest.raises(IntegrityError):
        _answer(snapshot, tmp_path / "answered", products=nothing, previous=nothing, bundle=bundle)
    with pytest.raises(ContractError, match="cannot answer without a server"):
        _answer(snapshot, tmp_path / "answered", products=nothing, previous=nothing, bundle=sealed(bundle))
