"""Categories without examples, from the taxonomy's names to a suggestion that is marked and changes no answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from known_embeddings import write_embeddings, write_known_prompts
from snapshots import CATEGORIES, change_listings, write_snapshot
from taxonomies import in_korean, taxonomy_of

from ecclip.formats.embeddings import load_embeddings
from ecclip.formats.taxonomy.tree import Category
from ecclip.tasks import EvaluateConfig, Heads, check_claims, evaluate, load_heads
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Query

MODALITIES = ("image", "text", "both")
SPEAKERS = ["electronics", "audio", "speakers"]
GNOMES = Category("gnomes", "home", {"en": "gnomes"})  # nothing like them is in the catalog
SHARE = 0.1
CFG = EvaluateConfig(bootstrap_rounds=20, auto={"precision": 0.8}, category={"suggested_share": SHARE})


@dataclass(frozen=True)
class Night:
    """A night whose speakers nobody has labelled but in split test; ``rows`` are those of the snapshot, by id."""

    snapshot: Path
    embedded: Path
    evaluated: Path
    rows: list[dict[str, Any]]
    is_speaker: np.ndarray

    def evaluate(self, folder: Path, cfg: EvaluateConfig) -> Heads:
        evaluate(cfg, self.snapshot, self.embedded, folder)
        return load_heads(folder / "heads")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("unseen")
    taxonomy = taxonomy_of([path for path, _ in CATEGORIES], extra=[GNOMES])
    snapshot = write_snapshot(folder / "2026-01-01", listings=480, taxonomy=taxonomy)
    embedded = write_embeddings(snapshot, folder / "embed")
    columns = ["listing_id", "category", "split"]
    rows = pq.read_table(snapshot / "listings", columns=columns).sort_by("listing_id").to_pylist()
    write_known_prompts(taxonomy, snapshot, embedded)

    def forget(row: dict[str, Any]) -> None:
        if row["category"] == SPEAKERS and row["split"] != "test":
            row["category"] = None

    change_listings(snapshot, forget)
    evaluate(CFG, snapshot, embedded, folder / "evaluate")
    is_speaker = np.array([row["category"] == SPEAKERS for row in rows])
    return Night(snapshot, embedded, folder / "evaluate", rows, is_speaker)


def _answers(
    night: Night, heads: Heads, modality: str, query: Query | None = None, described: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return the answers to all listings that have the modality, with their places; ``described`` is of the heads."""
    found = load_embeddings(night.embedded)
    decider = Decider(json.loads(json.dumps(described or heads.describe())), TASKS)
    image, text = found.image, found.text
    usable = np.flatnonzero(~np.isnan(image[:, 0])) if modality != "text" else np.arange(len(text))
    logits = heads.logits(
        None if modality == "text" else image[usable], None if modality == "image" else text[usable], modality
    )
    rows = zip(usable, logits, strict=True)
    columns = decider.columns
    return [decider.answer(row[:columns], modality, query) | {"place": int(place)} for place, row in rows]


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_category_without_examples_is_suggested_to_its_listings_and_rarely_to_others(
    night: Night, modality: str
) -> None:
    answers = _answers(night, load_heads(night.evaluated / "heads"), modality)
    own = [one["CATEGORY_SUGGESTED"] for one in answers if night.is_speaker[one["place"]]]
    first = [found[0] for found in own if found]
    assert len(first) > 0.6 * len(own)
    assert np.mean([one["path"] == SPEAKERS for one in first]) > 0.6  # gnomes are a matter of chance
    assert {(one["id"] == one["path"][-1], one["zero_shot"], one["decision"]) for one in first} == {
        (True, True, "review")
    }
    assert all(found == sorted(found, key=lambda one: -one["score"]) for found in own)
    assert min(one["score"] for one in first) > 0.5
    others = [
        bool(one["CATEGORY_SUGGESTED"])
        for one in answers
        if not night.is_speaker[one["place"]] and night.rows[one["place"]]["split"] != "test"
    ]
    assert np.mean(others) <= SHARE


def test_a_suggestion_changes_nothing_of_the_answer(night: Night) -> None:
    """The same logits without those of suggestions are answered and decided alike."""
    heads = load_heads(night.evaluated / "heads")
    without = heads.describe() | {"unseen": {}}
    for modality in MODALITIES:
        ours, theirs = _answers(night, heads, modality), _answers(night, heads, modality, described=without)
        suggested, nothing = ([one.pop("CATEGORY_SUGGESTED") for one in found] for found in (ours, theirs))
        assert any(suggested)
        assert not any(nothing)
        assert ours == theirs


def test_names_are_in_the_language_asked_for(night: Night) -> None:
    heads = load_heads(night.evaluated / "heads")
    found = {
        language: [one["CATEGORY_SUGGESTED"] for one in _answers(night, heads, "text", Query(language=language))]
        for language in ("en", "ko")
    }
    for english, korean in zip(*found.values(), strict=True):
        # that gnomes have no Korean name is no reason to leave them out
        names = [[name if name == "gnomes" else in_korean(name) for name in one["path"]] for one in english]
        assert [one["path"] for one in korean] == names
        assert [one["id"] for one in korean] == [one["id"] for one in english]


def test_the_report_measures_it_on_categories_that_are_held_out(night: Night) -> None:
    report = json.loads((night.evaluated / "report.json").read_text())
    metrics, rows = report["metrics"], report["rows"]
    for modality in MODALITIES:
        name = f"category_suggestions/{modality}"
        # two of five learnt categories, speakers and gnomes: an even choice of four is right once in four times
        assert metrics[f"{name}/recall@1"] > 0.6
        assert metrics[f"{name}/recall@5"] == 1.0
        low, high = report["intervals"][f"{name}/wrongly"]
        assert low <= metrics[f"{name}/wrongly"] <= high < 0.5
        assert rows[f"{name}/suggested"] <= rows[f"{name}/test"]
        assert rows[f"{name}/held_out"] < rows[f"{name}/test"]
    assert check_claims(night.evaluated) > 0
    page = (night.evaluated / "report.html").read_text()
    assert "Categories without examples" in page
    assert f"{rows['category_suggestions/text/suggested']} of {rows['category_suggestions/text/test']} test" in page


def test_where_nothing_may_be_suggested_the_bundle_holds_no_column_for_it(night: Night, tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"category": CFG.category.model_copy(update={"suggested_share": 0.0})})
    heads = night.evaluate(tmp_path / "never", cfg)
    assert (heads.unseen, heads.weight.shape[2]) == ({}, heads.parts[-1].stop)
    report = json.loads((tmp_path / "never" / "report.json").read_text())
    assert "suggested_share is 0" in report["missing"]["category_suggestions/both"]
    assert "Categories without examples" not in (tmp_path / "never" / "report.html").read_text()
    with_columns = load_heads(night.evaluated / "heads")
    np.testing.assert_array_equal(heads.weight, with_columns.weight[:, :, : with_columns.unseen["start"]])
