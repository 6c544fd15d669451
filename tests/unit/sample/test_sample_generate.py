"""The sample marketplace: equal bytes from equal configurations, believable change, every planted fault on record."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from ecclip.core import ConfigError
from ecclip.sample import FaultShares, SampleConfig, generate

CFG = SampleConfig(seed=3, nights=2, listings=420, image_size=128, processes=1)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    generate(CFG, folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines(folder: Path, night: str) -> list[bytes]:
    files = sorted((folder / "dumps" / night).glob("listings-*.jsonl.gz"))
    return [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def truth(folder: Path, night: str) -> list[dict[str, Any]]:
    table = pq.read_table(folder / "truth" / night / "truth.parquet")
    return [{**row, "attributes": dict(row["attributes"])} for row in table.to_pylist()]


def test_bytes_do_not_depend_on_the_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecclip.sample.generation._FEW", 10)
    cfg = CFG.model_copy(update={"nights": 1, "listings": 70})
    generate(cfg, tmp_path / "one")
    generate(cfg.model_copy(update={"processes": 2}), tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_another_seed_gives_another_dump(sample: Path, tmp_path: Path) -> None:
    generate(CFG.model_copy(update={"seed": 4, "nights": 1, "listings": 40}), tmp_path)
    assert lines(tmp_path, "2026-11-01")[:5] != lines(sample, "2026-11-01")[:5]


def test_a_night_that_is_there_is_kept_and_a_further_one_is_added(tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"nights": 1, "listings": 60})
    first = generate(cfg, tmp_path)[0]
    before = (first.stat().st_ino, digests(tmp_path))
    folders = generate(cfg.model_copy(update={"nights": 2}), tmp_path)
    assert [folder.name for folder in folders] == ["2026-11-01", "2026-11-02"]
    assert first.stat().st_ino == before[0]
    assert before[1].items() <= digests(tmp_path).items()


def test_nights_made_later_equal_nights_made_at_once(tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"listings": 60})
    generate(cfg, tmp_path / "at once")
    generate(cfg.model_copy(update={"nights": 1}), tmp_path / "later")
    generate(cfg, tmp_path / "later")
    assert digests(tmp_path / "later") == digests(tmp_path / "at once")


def test_another_configuration_replaces_the_night(tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"nights": 1, "listings": 40})
    generate(cfg, tmp_path)
    generate(cfg.model_copy(update={"listings": 30}), tmp_path)
    assert 30 <= len(lines(tmp_path, "2026-11-01")) < 40
    assert not list((tmp_path / "dumps").glob(".*.tmp-*"))


def test_somebody_elses_dump_is_not_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "dumps" / "2026-11-01"
    other.mkdir(parents=True)
    (other / "_SUCCESS").touch()
    with pytest.raises(ConfigError, match="not a sample"):
        generate(CFG, tmp_path)


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "dumps" / ".2026-11-01.tmp-999999999"
    left.mkdir(parents=True)
    generate(CFG.model_copy(update={"nights": 1, "listings": 20}), tmp_path)
    assert not left.exists()


def test_truth_has_a_row_for_every_line(sample: Path) -> None:
    for night in ("2026-11-01", "2026-11-02"):
        told, rows = lines(sample, night), truth(sample, night)
        assert [row["line"] for row in rows] == list(range(len(told)))
        for line, row in zip(told, rows, strict=True):
            if "malformed_line" in row["faults"]:
                with pytest.raises(json.JSONDecodeError):
                    json.loads(line)
                continue
            said = json.loads(line)
            if "missing_id" in row["faults"]:
                assert not (said.get("listing_id") or "").strip()
            else:
                assert said["listing_id"] == row["listing_id"]
            assert ("missing_title" in row["faults"]) == (not (said.get("title") or "").strip())
            assert set(said.get("attributes", {}).items()) <= set(row["attributes"].items())
            assert said["deleted"] == row["deleted"]
            assert said["updated_at"][:10] <= night


def test_every_fault_is_planted_and_bad_rows_stay_few(sample: Path) -> None:
    rows = truth(sample, "2026-11-01")
    planted = Counter(fault for row in rows for fault in row["faults"])
    assert set(planted) == set(FaultShares.model_fields)
    harmless = {"typo", "mismatched_photo", "wrong_suffix", "cmyk_photo", "rotated_photo", "no_photo"}
    assert sum(bool(set(row["faults"]) - harmless) for row in rows) / len(rows) < 0.06


def test_photo_files_are_what_the_truth_says(sample: Path) -> None:
    folder = sample / "dumps" / "2026-11-01"
    for row in truth(sample, "2026-11-01"):
        faults, uri = set(row["faults"]), row["image_uri"]
        if "no_photo" in faults:
            assert uri is None
            continue
        path = folder / uri
        assert path.exists() == ("missing_photo" not in faults), row
        if faults & {"missing_photo", "malformed_line"}:
            continue
        if faults & {"broken_photo", "empty_photo", "truncated_photo"}:
            with pytest.raises(OSError, match=r"cannot identify|truncated|broken"), path.open("rb") as file:
                Image.open(file).load()
            continue
        with Image.open(path) as image:
            image.load()
            assert image.mode == ("CMYK" if "cmyk_photo" in faults else "RGB")
            assert (image.getexif().get(0x0112) == 6) == ("rotated_photo" in faults)
            suffix = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}[image.format or ""]
            assert (path.suffix[1:] != suffix) == ("wrong_suffix" in faults)
            assert min(ImageOps.exif_transpose(image).size) == CFG.image_size
        assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()


def test_nights_bring_new_changed_and_deleted_listings(sample: Path) -> None:
    first = {row["listing_id"]: row for row in truth(sample, "2026-11-01")}
    second = {row["listing_id"]: row for row in truth(sample, "2026-11-02")}
    changes = Counter(row["change"] for row in second.values())
    assert len(second.keys() - first.keys()) == changes["new"] == round(0.05 * CFG.listings)
    assert changes["price"] + changes["title"] + changes["photo"] >= 4
    assert len(first.keys() - second.keys()) + changes["deleted"] >= 3
    assert all(row["product_id"] == first[name]["product_id"] for name, row in second.items() if name in first)


def test_an_unchanged_photo_is_linked_not_drawn_again(sample: Path) -> None:
    before, after = (sample / "dumps" / night for night in ("2026-11-01", "2026-11-02"))
    same = [row for row in truth(sample, "2026-11-02") if row["change"] == "unchanged" and row["image_uri"]]
    shared = [row["image_uri"] for row in same if (after / row["image_uri"]).is_file()]
    assert len(shared) > 300
    assert all((before / uri).samefile(after / uri) for uri in shared)


def test_products_have_several_sellers_and_the_catalog_id_never_lies(sample: Path) -> None:
    rows = truth(sample, "2026-11-01")
    offers = Counter(row["product_id"] for row in rows if "duplicate_id" not in row["faults"])
    assert max(offers.values()) == 4
    assert 1.6 < sum(offers.values()) / len(offers) < 2.4
    whole = [place for place, row in enumerate(rows) if "malformed_line" not in row["faults"]]
    told = lines(sample, "2026-11-01")
    given = [(json.loads(told[place]).get("catalog_id"), rows[place]["product_id"]) for place in whole]
    pairs = {pair for pair in given if pair[0] is not None}
    assert len({catalog for catalog, _ in pairs}) == len(pairs) == len({product for _, product in pairs})
    assert 0.2 < sum(catalog is not None for catalog, _ in given) / len(given) < 0.42


def test_age_restricted_products_are_a_believable_share(sample: Path) -> None:
    rows = truth(sample, "2026-11-01")
    adult = {tuple(row["category"]) for row in rows if row["age_restricted"]}
    assert adult == {("Food", "Beverages", "Wine & Spirits"), ("Tools", "Knives")}
    assert 0.05 < sum(row["age_restricted"] for row in rows) / len(rows) < 0.25


def test_a_share_above_one_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="typo"):
        SampleConfig.model_validate({"faults": {"typo": 1.5}})
    with pytest.raises(ConfigError, match="sum to more"):
        SampleConfig.model_validate({"faults": {"typo": 0.9, "no_photo": 0.9}})


def said_and_true(sample: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the whole rows of the first night with a title, each with its truth."""
    told, rows = lines(sample, "2026-11-01"), truth(sample, "2026-11-01")
    whole = [(json.loads(told[row["line"]]), row) for row in rows if "malformed_line" not in row["faults"]]
    return [(said, row) for said, row in whole if (said.get("title") or "").strip()]


def test_sellers_of_one_product_word_it_differently(sample: Path) -> None:
    titles: dict[str, list[str]] = {}
    for said, row in said_and_true(sample):
        if "duplicate_id" not in row["faults"]:
            titles.setdefault(row["product_id"], []).append(said["title"])
    several = [named for named in titles.values() if len(named) > 1]
    assert sum(len(set(named)) == len(named) for named in several) > 0.9 * len(several)


@pytest.mark.parametrize(("what", "share"), [("category", 0.9), ("color", 0.8)])
def test_titles_mostly_tell_category_and_colour(sample: Path, what: str, share: float) -> None:
    """Of products whose titles a plain model of word counts has never seen."""
    rows = [(said["title"], row) for said, row in said_and_true(sample)]
    if what == "color":
        rows = [(title, row) for title, row in rows if "color" in row["attributes"]]
    answers = ["/".join(row["category"]) if what == "category" else row["attributes"]["color"] for _, row in rows]
    model = make_pipeline(CountVectorizer(token_pattern=r"[\w-]+"), LogisticRegression(C=30, max_iter=300))
    products = [row["product_id"] for _, row in rows]
    found = cross_val_predict(model, [title for title, _ in rows], answers, groups=products, cv=GroupKFold(5))
    assert np.mean(found == np.array(answers)) > share
    assert len(set(answers)) > 8


def test_some_titles_are_korean(sample: Path) -> None:
    titles = [said["title"] for said, _ in said_and_true(sample)]
    assert 0.05 < sum(re.search("[가-힣]", title) is not None for title in titles) / len(titles) < 0.6


def test_a_typo_makes_a_word_that_no_other_title_has(sample: Path) -> None:
    rows = [(set(said["title"].lower().split()), "typo" in row["faults"]) for said, row in said_and_true(sample)]
    clean = set().union(*(words for words, is_typo in rows if not is_typo))
    misspelt = [words for words, is_typo in rows if is_typo]
    assert len(misspelt) > 10
    assert all(words - clean for words in misspelt)


def test_some_descriptions_are_html_and_some_are_missing(sample: Path) -> None:
    told = [said.get("description") for said, _ in said_and_true(sample)]
    assert 0.15 < told.count(None) / len(told) < 0.35
    assert 0.1 < sum("<p>" in text for text in told if text) / len(told) < 0.6


def test_sellers_take_other_photos_of_the_same_product(sample: Path) -> None:
    shown = [row for row in truth(sample, "2026-11-01") if row["photo_key"]]
    keys, files = ({row[name] for row in shown} for name in ("photo_key", "image_uri"))
    assert len(files) > 0.9 * len(keys)
    assert len({row["product_id"] for row in shown}) < 0.7 * len(keys)
