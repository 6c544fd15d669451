"""Attributes whose options a file names: answered where no spec teaches them, measured where some specs state them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_embeddings import write_embeddings
from snapshots import COLOURS, change_listings, write_snapshot

from ecclip.client import Answer
from ecclip.formats.answers import row_of
from ecclip.formats.embeddings import Prompts, load_embeddings
from ecclip.formats.policies.options import AttributeOptions, GivenAttribute, Option, write_attribute_options
from ecclip.review.desk import Desk
from ecclip.tasks import EvaluateConfig, check_claims, evaluate, load_heads
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Query

CFG = EvaluateConfig(bootstrap_rounds=20, auto={"precision": 0.8})
KOREAN = {"red": "빨강", "green": "초록", "blue": "파랑"}


def given(name: str, *options: str, categories: tuple[tuple[str, ...], ...] = ()) -> GivenAttribute:
    named = [Option(name=one, names={"ko": KOREAN[one]} if one in KOREAN else {}) for one in options]
    return GivenAttribute(name=name, names={}, categories=categories, options=tuple(named))


OPTIONS = AttributeOptions(
    version=1,
    sha256="b" * 64,
    attributes=(
        given("shade", *COLOURS, categories=(("fashion",), ("home",))),
        given("fit", "tight", "loose"),
        given("Color", "light", "dark"),  # which specs teach as ``color``
        given("size", "small", "large"),  # which specs and titles teach: an open value
    ),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A night whose test listings alone state a shade, their colour; options lie where titles of that colour do."""
    folder = tmp_path_factory.mktemp("given")
    snapshot = write_snapshot(folder / "2026-01-01", listings=480)
    colours: list[str | None] = []

    def change(row: dict[str, Any]) -> None:
        own = dict(row["attributes"])
        colours.append(own.get("color"))
        more = [("size", row["title"].split()[-1])] if row["split"] != "test" else []
        if row["split"] == "test" and "color" in own:
            more.append(("Shade", own["color"].upper()))
        row["attributes"] = [*own.items(), *more]

    embedded = write_embeddings(snapshot, folder / "embed")
    change_listings(snapshot, change)
    found = load_embeddings(embedded)
    texts = [text for one in OPTIONS.attributes for part in one.prompts for text in part]
    vectors = np.random.default_rng(0).normal(size=(len(texts), found.text.shape[1])).astype(np.float32)
    for place, text in enumerate(texts):
        wanted = text.rpartition(": ")[2]
        if "shade" in text and wanted in COLOURS:
            vectors[place] = found.text[[one == wanted for one in colours]].mean(axis=0) * 9
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    prompts = Prompts(texts, vectors, np.zeros((len(texts), 0), np.float32), joint=True)
    write_attribute_options(OPTIONS, prompts, embedded)
    evaluate(CFG, snapshot, embedded, folder / "evaluate")
    return {"snapshot": snapshot, "embedded": embedded, "evaluated": folder / "evaluate"}


@pytest.fixture(scope="module")
def report(parts: dict[str, Path]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((parts["evaluated"] / "report.json").read_text())
    return found


def test_only_what_no_spec_teaches_answers_by_its_options(parts: dict[str, Path]) -> None:
    heads = load_heads(parts["evaluated"] / "heads")
    assert {*heads.zero_shot} == {"attribute:shade", "attribute:fit"}
    assert {*heads.options["attributes"]} == {"shade", "fit"}
    assert "attribute:color" in heads.thresholds
    assert heads.open["reader"]["names"] == ["size"]
    assert {one for name in heads.zero_shot for one in heads.thresholds[name].values()} == {2.0}, "never auto"


def test_it_is_measured_where_specs_state_an_option_and_said_not_to_be_elsewhere(
    parts: dict[str, Path], report: dict[str, Any]
) -> None:
    metrics, missing = report["metrics"], report["missing"]
    assert report["rows"]["attribute:shade/text/test"] > 20
    assert metrics["attribute:shade/text/zero_shot_accuracy"] > 0.6, "a quarter by chance"
    assert "attribute:shade/text/zero_shot_accuracy" in report["intervals"]
    assert missing["attribute:fit/both"].startswith("not measured: no test listing states one of the options")
    assert not [name for name in metrics if name.startswith("attribute:fit/")]
    assert not [name for name in metrics if name.startswith("attribute:shade/") and "zero_shot" not in name]
    assert check_claims(parts["evaluated"]) > 0, "a bundle's figures are counted again"
    page = (parts["evaluated"] / "report.html").read_text()
    assert "Options that a file names, answered zero-shot" in page
    assert "not measured" in page.partition("answered zero-shot")[2]


def test_answers_are_marked_reviewed_named_in_a_language_and_kept_to_their_categories(parts: dict[str, Path]) -> None:
    heads, found = load_heads(parts["evaluated"] / "heads"), load_embeddings(parts["embedded"])
    decider = Decider(json.loads(json.dumps(heads.describe())), TASKS)
    said = []
    for row in heads.logits(None, found.text, "text"):
        outputs = decider.answer(row, "text", Query(title="a thing"))
        answer = Answer.from_outputs(outputs)
        if answer.category_scores[0] < 0.7:
            continue  # of an uncertain category the likelier half decides
        has_shade = answer.categories[0][0] in ("fashion", "home")
        assert ("shade" in answer.attributes, "attribute:shade" in answer.decisions) == (has_shade, has_shade)
        assert answer.decisions["attribute:fit"] == "review"
        assert answer.attributes["fit"]["zero_shot"]
        assert "zero_shot" not in answer.attributes["color"]
        if has_shade:
            spoken = decider.answer(row, "text", Query(title="a thing", language="ko-KR"))["ATTRIBUTES"]["shade"]
            value = answer.attributes["shade"]["value"] or ""
            assert spoken["value"] == KOREAN.get(value, value)
            said.append(value)
    assert {*said} == {*COLOURS}
    kept = row_of("l1", "q", {**outputs, "LINEAGE": "l"})["attributes"]
    bases = {one["name"]: one["basis"] for one in kept}
    assert (bases["fit"], bases["color"]) == ("zero_shot", "labels")


def test_a_person_is_asked_which_option_is_right(parts: dict[str, Path], tmp_path: Path) -> None:
    folders = (parts["snapshot"], parts["embedded"], parts["evaluated"])
    night = Desk.of_night("2026-01-01", *folders, folder=tmp_path, author="me").night
    question = night.question("attribute:fit")
    assert question.labels == [None, "loose", "tight"]
    answers = night.answers(question)
    assert not answers.auto.any()
    assert {question.labels[number] for number in answers.answer} == {"loose", "tight"}
