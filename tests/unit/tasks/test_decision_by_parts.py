"""What heads.json says beside thresholds: points of age classes, levels, categories without examples; many at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from described_heads import HEADS, answered

from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Query
from ecclip.tasks.scores import answered as best_class
from ecclip.tasks.scores import is_auto, margins, probabilities

AGES: dict[str, Any] = {
    **HEADS,
    "heads": [
        {
            "task": "age_restricted", "name": f"age:{name}", "loss": "sigmoid", "start": place, "stop": place + 1,
            "labels": [name],
        }
        for place, name in enumerate(("alcohol", "knives", "vaping"))
    ],
    "thresholds": {"age:alcohol": {"text": 0.5}},
    "points": {"age:alcohol": {"text": {"score": 0.8}}, "age:vaping": {"text": {"score": 0.3}}},
    "policy": {"minimum_ages": {"alcohol": 18, "knives": 16, "vaping": 21}},
    "zero_shot": {"age:vaping": ["text"]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "classes", "suspected", "age", "decisions"),
    [
        ((0.79, 0.49, 0.29), [], [], None, ("auto", "review", "unknown")),
        ((0.81, 0.49, 0.31), ["alcohol"], ["vaping"], 18, ("auto", "review", "review")),
        ((0.10, 0.51, 0.99), ["knives"], ["vaping"], 16, ("auto", "review", "review")),
        ((0.81, 0.51, 0.00), ["alcohol", "knives"], [], 18, ("auto", "review", "unknown")),
    ],
)
def test_a_class_is_flagged_at_its_point_and_one_of_descriptions_alone_is_only_suspected(
    scores: tuple[float, ...],
    classes: list[str],
    suspected: list[str],
    age: int | None,
    decisions: tuple[str, ...],
) -> None:
    row = np.array([math.log(max(one, 1e-9) / (1 - one)) for one in scores])
    answer = answered(AGES, row, "text")
    said = {"restricted": bool(classes), "classes": classes, "suspected": suspected, "minimum_age": age}
    assert answer.age == said
    assert answer.age_class_bases == ["labels", "labels", "zero_shot"]
    assert tuple(answer.decisions[f"age:{name}"] for name in ("alcohol", "knives", "vaping")) == decisions


def test_an_uncertain_leaf_backs_off_to_the_level_that_is_certain() -> None:
    bar = {"thresholds": {"category": {"text": 0.9}}, "level_thresholds": {"category": {"text": {"1": 0.8}}}}
    row = np.array([math.log(0.5), math.log(0.4), math.log(0.06), math.log(0.04), 0, 0, 0, 0])
    backed_off = answered({**HEADS, **bar}, row, "text")
    assert backed_off.categories[:2] == [("a",), ("a", "b")]
    assert backed_off.category_scores[0] == pytest.approx(0.9)
    assert backed_off.decisions["category"] == "auto"
    assert answered({**HEADS, **bar}, row, "image").categories[0] == ("a", "b"), "no level is asked there"
    higher = {**bar, "level_thresholds": {"category": {"text": {"1": 0.91}}}}
    assert answered({**HEADS, **higher}, row, "text").decisions["category"] == "review"


def test_categories_without_examples_are_suggested_in_the_language_asked_for_and_change_nothing_else() -> None:
    unseen = {"start": 8, "stop": 11, "learnt": 1, "paths": [["x"], ["y"]], "offsets": {"text": 0.0}}
    row = np.array([2.0, 0, 0, 0, 0, 3.0, 0, 0, 1.0, 1.5, 3.0])
    decider = Decider({**HEADS, "unseen": unseen}, TASKS)
    found = decider.answer(row, "text")
    plain = Decider(HEADS, TASKS).answer(row[:8], "text")
    assert [(one["path"], one["decision"]) for one in found.pop("CATEGORY_SUGGESTED")] == [
        (["y"], "review"), (["x"], "review"),
    ]  # fmt: skip
    assert plain.pop("CATEGORY_SUGGESTED") == []
    assert found == plain
    assert decider.answer(row, "image")["CATEGORY_SUGGESTED"] == []
    assert len(Decider({**HEADS, "unseen": unseen}, TASKS, 1).answer(row, "text")["CATEGORY_SUGGESTED"]) == 1
    names = [{"id": name, "parent": None, "names": {"en": name, "de": f"{name} auf Deutsch"}} for name in ("x", "y")]
    taxonomy = {"languages": ["en", "de"], "categories": names}
    named = Decider({**HEADS, "unseen": unseen, "taxonomy": taxonomy}, TASKS).answer(row, "text", Query(language="de"))
    assert [one["path"] for one in named["CATEGORY_SUGGESTED"]] == [["y auf Deutsch"], ["x auf Deutsch"]]


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_many_answers_are_decided_as_each_alone(loss: str) -> None:
    chance = np.random.default_rng(3)
    logits = chance.normal(size=(60, 1 if loss == "sigmoid" else 40), scale=4)
    scores = probabilities(logits, loss)
    if loss == "sigmoid":
        assert scores == pytest.approx(1 / (1 + np.exp(-logits)))
        scores[0, 0] = 0.5
    least = np.full(2 if loss == "sigmoid" else 40, 0.6)
    least[1] = 0.3
    for row, answer, auto, margin in zip(
        scores, best_class(scores, loss), is_auto(scores, least, loss), margins(scores, loss), strict=True
    ):
        every = [1 - row[0], row[0]] if loss == "sigmoid" else row.tolist()
        *_, second, first = sorted(every)
        assert answer == (int(row[0] >= 0.5) if loss == "sigmoid" else every.index(first))
        assert auto == (first >= max(least[answer], 0.5))
        assert margin == pytest.approx(first - second)
    assert margins(np.ones((3, 1)), "softmax").tolist() == [1.0] * 3
