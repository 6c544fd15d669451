"""The second check: photos, groups and mismatches of a night against the good nights before it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_texts import HOSTILE_TEXTS

from ecclip.catalog.gate.before_publishing import ReleaseConfig, release
from ecclip.catalog.gate.expectations import Rule, Table, plain, validate, validate_row
from ecclip.catalog.gate.history import NightFacts, write_facts
from ecclip.core import ContractError, GateError
from ecclip.formats.pair_scores import below, read_agreements, write_pair_scores

pytestmark = pytest.mark.spark

CFG = ReleaseConfig.model_validate({})
LISTINGS = 400


def folders(
    work: Path, *, broken: int | list[str] = 4, group: int = 2, agreement: np.ndarray | None = None
) -> dict[str, Any]:
    """Return what a night left before publishing: ``broken`` photos (how many, or why), groups of ``group``."""
    ids = [f"l{number:04d}" for number in range(LISTINGS)]
    reasons = ["truncated"] * broken if isinstance(broken, int) else broken
    errors = [*reasons, *[None] * (LISTINGS - len(reasons))]
    for name, table in {
        "clean/listings": {"listing_id": ids, "image_sha256": ["s"] * LISTINGS, "image_error": errors},
        "group/groups": {"listing_id": ids, "group_id": [f"g{number // group}" for number in range(LISTINGS)]},
        "pairs": {} if agreement is None else {"listing_id": ids, "agreement": agreement.astype(np.float32)},
    }.items():
        (work / name).mkdir(parents=True)
        if table:
            pq.write_table(
                pa.table(table), work / name / ("pairs.parquet" if name == "pairs" else "part-00000.parquet")
            )
    write_facts(work / "check", NightFacts.model_validate(night()))
    return {"checked": work / "check", "cleaned": work / "clean", "grouped": work / "group", "pairs": work / "pairs"}


def night(**more: Any) -> dict[str, Any]:
    return {"fingerprint": "f", "listings": LISTINGS, "shares": {}, "distributions": {}, "prices": {}, **more}


def good(number: int) -> NightFacts:
    shares = {"bad_photo/truncated": 0.01 + number / 1000, "grouped/duplicates": 0.5, "grouped/largest": 0.005}
    return NightFacts.model_validate(night(shares=shares | {"mismatch": 0.01}))


HISTORY = [good(number) for number in range(4)]


def together(wrong: int = 4) -> np.ndarray:
    agreement = np.random.default_rng(0).normal(4.0, 0.5, LISTINGS)
    agreement[:wrong] = -0.5
    return agreement


def test_a_good_night_passes_and_names_what_does_not_belong_together(tmp_path: Path) -> None:
    given = folders(tmp_path, agreement=together())
    facts, wrong = release(CFG, **given, history=HISTORY, output=tmp_path / "out")
    assert wrong["listing_id"].to_pylist() == [f"l{number:04d}" for number in range(4)]
    assert facts.shares["mismatch"] == facts.shares["bad_photo/truncated"] == 0.01
    assert facts.shares["grouped/duplicates"] == 0.5
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert verdict["passed"] is True
    assert {"bad_photo/truncated", "grouped/largest", "grouped/duplicates", "mismatch"} <= set(verdict["metrics"])


POISONS: dict[str, dict[str, Any]] = {
    "bad_photo/truncated": {"broken": 60},
    "grouped/duplicates": {"group": 1},
    "grouped/largest": {"group": 100},
    "mismatch": {"agreement": np.random.default_rng(1).normal(-0.5, 0.8, LISTINGS)},
}


@pytest.mark.parametrize("name", POISONS)
def test_a_poison_is_refused_by_its_metric(tmp_path: Path, name: str) -> None:
    given = folders(tmp_path, **POISONS[name])
    with pytest.raises(GateError) as caught:
        release(CFG, **given, history=HISTORY, output=tmp_path / "out")
    assert f"{name} = " in str(caught.value)
    assert not (tmp_path / "out").exists()
    refused = json.loads((tmp_path / "out.refused" / "verdict.json").read_text())
    assert name in refused["failed_expectations"]
    assert (tmp_path / "out.refused" / "data_docs" / "index.html").is_file()
    meant = ["grouped/*", "mismatch", name]
    accepted, other = (
        ReleaseConfig.model_validate({"shift": {"accepted": {of: meant}}, "mismatch": {"max_share": 1}}) for of in "fg"
    )
    with pytest.raises(GateError):
        release(other, **given, history=HISTORY, output=tmp_path / "out")
    facts, _ = release(accepted, **given, history=HISTORY, output=tmp_path / "out")
    judged = {"grouped/duplicates", "grouped/largest", name} | ({"mismatch"} if "agreement" in POISONS[name] else set())
    assert set(facts.accepted) == judged
    assert not (tmp_path / "out.refused").exists()


def test_a_refusal_says_each_value_its_limit_and_what_to_do(tmp_path: Path) -> None:
    cfg = ReleaseConfig.model_validate({"min_published": LISTINGS + 1})
    given = folders(tmp_path, broken=60, agreement=together())
    with pytest.raises(GateError) as caught:
        release(cfg, **given, history=HISTORY, output=tmp_path / "out")
    page = tmp_path / "out.refused" / "data_docs" / "index.html"
    assert str(caught.value) == (
        "the snapshot was refused: published, bad_photo/truncated; "
        "value: published = 400.0, bad_photo/truncated = 0.15; "
        "limit: published: 401.0.., bad_photo/truncated: ..0.0715; "
        f"next: read {page}; the previous snapshot stays current; "
        "if it is meant: shift: {accepted: {\"f\": ['bad_photo/truncated']}}"
    )


def test_a_night_is_told_whole_and_judged_by_what_only_this_check_can_show(tmp_path: Path) -> None:
    """The volume is a tenth of what it was, which is for the first check to refuse."""
    agreement = together(3)
    agreement[-1] = np.nan
    given = folders(tmp_path, broken=7, group=3, agreement=agreement)
    first = night(shares={"missing/brand": 0.9, "mismatch": 1.0}, accepted=["missing/brand"])
    write_facts(tmp_path / "check", NightFacts.model_validate(first))
    history = [one.model_copy(update={"listings": 10 * LISTINGS}) for one in HISTORY]
    share = round(3 / 399, 6)
    cfg = {"min_published": LISTINGS, "mismatch": {"max_share": share}, "shift": {"accepted": {"f": ["grouped/*"]}}}
    facts, _ = release(ReleaseConfig.model_validate(cfg), **given, history=history, output=tmp_path / "out")
    assert facts.shares == {
        "missing/brand": 0.9, "bad_photo/truncated": 0.0175, "grouped/duplicates": 0.665, "grouped/largest": 0.0075,
        "mismatch": share,
    }  # fmt: skip
    assert facts.accepted == ["grouped/duplicates", "grouped/largest", "missing/brand"]
    assert json.loads((tmp_path / "out" / "verdict.json").read_text()) == {
        "passed": True,
        "failed_expectations": [],
        "warnings": [],
        "metrics": {"published": 400.0, "mismatch_share": share, "bad_photo/truncated": 0.0175, "mismatch": share},
        "limits": {
            "published": "400.0..", "mismatch_share": f"..{share}", "bad_photo/truncated": "..0.0715",
            "mismatch": "..0.07",
        },
        "fingerprint": "f",
        "accepted": facts.accepted,
    }  # fmt: skip


def test_a_refusal_without_a_shift_offers_none_to_accept(tmp_path: Path) -> None:
    cfg = ReleaseConfig.model_validate({"min_published": LISTINGS + 1})
    with pytest.raises(GateError, match=r"the previous snapshot stays current$"):
        release(cfg, **folders(tmp_path), history=HISTORY, output=tmp_path / "out")


def test_bad_photos_are_a_share_of_the_listings_with_a_photo(tmp_path: Path) -> None:
    given, file = folders(tmp_path, broken=4), tmp_path / "clean" / "listings" / "part-00000.parquet"
    photos = pa.array(["s" if number < LISTINGS // 2 else None for number in range(LISTINGS)])
    pq.write_table(pq.read_table(file).set_column(1, "image_sha256", photos), file)
    facts, _ = release(CFG, **given, history=[], output=tmp_path / "out")
    assert facts.shares["bad_photo/truncated"] == 4 / 200


def test_a_night_without_a_listing_has_shares_of_nothing(tmp_path: Path) -> None:
    given = folders(tmp_path)
    for name, columns in (
        ("clean/listings", ["listing_id", "image_sha256", "image_error"]),
        ("group/groups", ["listing_id", "group_id"]),
    ):
        file = tmp_path / name / "part-00000.parquet"
        pq.write_table(pq.read_table(file).slice(0, 0).select(columns), file)
    cfg = ReleaseConfig.model_validate({"min_published": 0})
    facts, _ = release(cfg, **given, history=[], output=tmp_path / "out")
    assert facts.shares == {"grouped/duplicates": 0.0, "grouped/largest": 0.0}


def test_the_quick_comparison_is_the_judgement_of_great_expectations(tmp_path: Path) -> None:
    values = {"inside": 0.5, "below": -1.0, "above": 2.0, "at_low": 0.0, "at_high": 1.0, "no_low": -9.0, "no_high": 9.0}
    limits: dict[str, tuple[float | None, float | None]] = dict.fromkeys(values, (0.0, 1.0))
    limits |= {"no_low": (None, 1.0), "no_high": (0.0, None)}
    rules = [Rule.within(name, low, high) for name, (low, high) in limits.items()]
    table = Table("metrics", pd.DataFrame([values]), rules)
    outcomes = validate_row(table)
    assert outcomes == validate([table], tmp_path / "docs")
    assert {outcome.name for outcome in outcomes if not outcome.passed} == {"below", "above"}


def test_a_night_without_scores_has_no_mismatch(tmp_path: Path) -> None:
    facts, wrong = release(CFG, **folders(tmp_path), history=[], output=tmp_path / "out")
    assert wrong.num_rows == 0
    assert "mismatch" not in facts.shares
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["metrics"] == {"published": 400.0}


def test_scores_that_are_no_numbers_are_no_scores_and_other_columns_an_error(tmp_path: Path) -> None:
    ids, given = ["c", "a", "b", "d"], np.array([0.1, 0.1, np.nan, 0.3], np.float32)
    write_pair_scores(ids, given, given, tmp_path)
    scored = read_agreements(tmp_path)
    assert scored.num_rows == 3
    assert below(scored, 0.2)["listing_id"].to_pylist() == ["a", "c"]
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "pairs.parquet")
    with pytest.raises(ContractError, match=r"pairs\.parquet.*listing_id, agreement"):
        read_agreements(tmp_path)


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, and the code and addresses in it."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.code: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.code += [value or "" for name, value in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.code.append(data)
        else:
            self.text += data


def _structure(docs: Path) -> Structure:
    found = Structure()
    for path in sorted(docs.rglob("*.html")):
        found.feed(path.read_text())
    return found


def _refused(names: list[str], work: Path) -> Structure:
    """Return the page of a night of which every other name, as the reason of broken photos, is one too many."""
    broken = [f"{name}" for place, name in enumerate(names) for _ in range(30 if place % 2 else 1)]
    with pytest.raises(GateError):
        release(CFG, **folders(work, broken=broken), history=HISTORY, output=work / "out")
    refused = json.loads((work / "out.refused" / "verdict.json").read_text())
    assert set(refused["failed_expectations"]) == {f"bad_photo/{name}" for name in names[1::2]}
    assert refused["metrics"].keys() >= {f"bad_photo/{name}" for name in names}
    return _structure(work / "out.refused" / "data_docs")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_of_a_dump_add_no_element_no_handler_and_no_address(tmp_path: Path) -> None:
    names = HOSTILE_TEXTS[:-1]  # Parquet holds no half pair
    hostile = _refused(names, tmp_path / "hostile")
    harmless = _refused([f"colour {number:02d}" for number in range(len(names))], tmp_path / "harmless")
    assert sorted(hostile.elements) == sorted(harmless.elements)
    assert not any("evil.example" in value or "javascript:alert" in value for value in hostile.addresses)
    assert not any("alert(" in code for code in hostile.code)
    for name in names:
        assert plain(f"bad_photo/{name}") in hostile.text.replace("\n", "")


def test_different_names_stay_different_and_plain_ones_as_they_are() -> None:
    names = [*HOSTILE_TEXTS, "%3Cscript", "<script", "색상", "price_shift/KRW", "label/category/home/mugs"]
    assert len({plain(name) for name in names}) == len(names)
    assert [plain(name) for name in names[-3:]] == names[-3:]
