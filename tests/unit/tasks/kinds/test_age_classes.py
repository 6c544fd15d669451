"""Classes of age restriction from a policy to answers: learnt ones, described ones, and what the report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from known_embeddings import DIM, write_embeddings
from snapshots import write_snapshot

from ecclip.client import Answer
from ecclip.formats.embeddings import Embeddings, Prompts, load_embeddings, write_borders
from ecclip.formats.policies.age import AgeClass, AgePolicy, write_age_policy
from ecclip.review.desk import Desk
from ecclip.tasks import EvaluateConfig, check_claims, evaluate, load_heads
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS

RATE = 0.1  # what 40 held-out listings can show
WINE = ("food", "drinks", "wine")
DESCRIBED = "a knife"
CFG = EvaluateConfig(bootstrap_rounds=20, auto={"precision": 0.8})


def a_class(name: str, **other: Any) -> AgeClass:
    return AgeClass(**{"name": name, "descriptions": (), "minimum_age": None, "false_positive_rate": RATE, **other})


POLICY = AgePolicy(
    version=1,
    sha256="a" * 64,
    attribute=None,
    unrestricted=frozenset(),
    false_positive_rate=RATE,
    classes=(
        a_class("alcohol", categories=(WINE,), minimum_age=16),
        a_class("knives", descriptions=(DESCRIBED,), minimum_age=18),
        a_class("adult"),
    ),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A night in which titles of speakers lie near the described knife."""
    folder = tmp_path_factory.mktemp("classes")
    snapshot = write_snapshot(folder / "2026-01-01", listings=480)
    embedded = write_embeddings(snapshot, folder / "embed")
    found = load_embeddings(embedded)
    rows = pq.read_table(snapshot / "listings", columns=["listing_id", "category", "split"])
    rows = rows.sort_by("listing_id").to_pylist()
    speakers = [row["category"][-1] == "speakers" for row in rows]
    near = np.nanmean(found.text[speakers], axis=0, keepdims=True)
    near = (near / np.linalg.norm(near)).astype(np.float32)
    write_age_policy(POLICY, Prompts([DESCRIBED], near, np.zeros((1, 0), np.float32), joint=True), embedded)
    test = [number for number, row in enumerate(rows) if row["split"] == "test"]
    chance = np.random.default_rng(0)
    borders = chance.normal(size=(len(test), DIM)).astype(np.float32)
    ids = [found.listing_ids[number] for number in test]
    write_borders(Embeddings(ids, borders, np.zeros((len(ids), 1), np.float32)), embedded)
    evaluate(CFG, snapshot, embedded, folder / "evaluate")
    return {"snapshot": snapshot, "embedded": embedded, "evaluated": folder / "evaluate"}


@pytest.fixture(scope="module")
def report(parts: dict[str, Path]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((parts["evaluated"] / "report.json").read_text())
    return found


def test_a_class_with_labels_has_a_point_of_its_own_and_figures_at_it(
    parts: dict[str, Path], report: dict[str, Any]
) -> None:
    heads = load_heads(parts["evaluated"] / "heads")
    point = heads.points["age:alcohol"]["both"]
    assert point["measured"]
    assert point["false_positive_rate"] <= RATE < point["at_most"]  # a few dozen listings prove no rate
    metrics = report["metrics"]
    assert metrics["age:alcohol/both/recall"] > 0.8
    assert metrics["age:alcohol/both/false_positive_rate_at_most"] == pytest.approx(point["at_most"], abs=1e-6)
    assert metrics["age:alcohol/both/false_positive_rate"] < 0.3
    assert heads.policy["sha256"] == POLICY.sha256
    assert check_claims(parts["evaluated"]) > 0  # the figures are those of the heads that serve


def test_what_was_not_measured_is_said_to_be_so(parts: dict[str, Path], report: dict[str, Any]) -> None:
    assert "not measured" in report["missing"]["age:knives/text"]
    assert report["missing"]["age:adult/both"] == "all train listings have the same label"  # and no description
    assert not [name for name in report["metrics"] if name.startswith(("age:knives/", "age:adult/"))]
    page = (parts["evaluated"] / "report.html").read_text()
    assert "Classes of the policy" in page
    assert "not measured: no labels to learn from; answered zero-shot" in page


def test_a_border_that_says_nothing_ranks_like_chance_and_the_page_shows_it(
    parts: dict[str, Path], report: dict[str, Any]
) -> None:
    found = report["slices"]["age:alcohol/image/area under the ROC curve"]
    assert found["whole photo"]["value"] > 0.8
    assert found["border alone"]["low"] < 0.5 < found["border alone"]["high"]
    assert "beside negatives on the same background" in found
    assert "Is it the product, or its background?" in (parts["evaluated"] / "report.html").read_text()


def test_answers_flag_what_was_learnt_and_only_suspect_what_is_described(parts: dict[str, Path]) -> None:
    heads, found = load_heads(parts["evaluated"] / "heads"), load_embeddings(parts["embedded"])
    decider = Decider(json.loads(json.dumps(heads.describe())), TASKS)
    columns = ["listing_id", "category", "split"]
    rows = pq.read_table(parts["snapshot"] / "listings", columns=columns).sort_by("listing_id").to_pylist()
    logits = heads.logits(None, found.text, "text")
    answers = [Answer.from_outputs(decider.answer(row, "text")) for row in logits]
    assert answers[0].age_classes == ["age_restricted", "alcohol", "knives", "adult"]
    assert {tuple(one.age_class_bases) for one in answers} == {("labels", "labels", "zero_shot", "unknown")}
    assert {one.decisions["age:knives"] for one in answers} == {"review", "unknown"}
    assert {one.decisions["age:adult"] for one in answers} == {"unknown"}
    for answer in answers:
        assert (answer.age["suspected"] == ["knives"]) == (answer.decisions["age:knives"] == "review")
        assert answer.age["restricted"] == bool(answer.age["classes"])
        assert answer.age["minimum_age"] == (16 if "alcohol" in answer.age["classes"] else None)
    others = [row["split"] != "test" for row in rows]
    suspected = [one.age["suspected"] == ["knives"] for one, kept in zip(answers, others, strict=True) if kept]
    assert np.mean(suspected) <= RATE
    speakers = [row["category"][-1] == "speakers" for row, kept in zip(rows, others, strict=True) if kept]
    assert np.mean(np.array(speakers)[np.array(suspected)]) > 0.8


def test_a_person_is_asked_about_a_class_and_answers_as_an_attribute(parts: dict[str, Path], tmp_path: Path) -> None:
    folders = (parts["snapshot"], parts["embedded"], parts["evaluated"])
    night = Desk.of_night("2026-01-01", *folders, folder=tmp_path, author="x").night
    question = night.question("age:alcohol")
    assert (question.field, question.name, question.labels) == ("attributes", "age:alcohol", ["no", "yes"])
    columns = ["listing_id", "category"]
    rows = pq.read_table(parts["snapshot"] / "listings", columns=columns).sort_by("listing_id").to_pylist()
    given = [night.given(question, place) for place in range(len(rows))]
    assert given == ["yes" if tuple(row["category"]) == WINE else "no" for row in rows]
