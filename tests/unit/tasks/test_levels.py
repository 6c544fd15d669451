"""Scores of all levels are of one distribution, and an answer ends at the deepest level that is certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from taxonomies import in_korean, taxonomy_of

from ecclip.client import Answer
from ecclip.tasks import EvaluateConfig
from ecclip.tasks.backing_off import Paths, thresholds_by_level
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Query
from ecclip.tasks.levels import LEAF, Levels
from ecclip.tasks.thresholds import Answers

LABELS = [["b"], ["a", "y", "2"], ["a", "x"], ["a", "y", "1"], ["a"], ["c", "x", "1"]]


def test_a_category_has_the_score_of_what_stands_below_it() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(len(LABELS)), size=40)
    levels = Levels(LABELS)
    assert levels.above == [2, 1]
    for level in levels.above:
        found = levels.scores(scores, level)
        for place, path in enumerate(levels.paths(level)):
            below = [number for number, label in enumerate(LABELS) if tuple(label[:level]) == path]
            np.testing.assert_allclose(found[:, place], scores[:, below].sum(axis=1))
    inside = levels.scores(scores, 2)
    parents = levels.places(levels.paths(2), 1)
    assert (inside <= levels.scores(scores, 1)[:, parents] + 1e-12).all()
    assert levels.places([["a", "y", "3"], ["a"], ["d", "x"]], 2).tolist() == [
        levels.paths(2).index(("a", "y")),
        -1,
        -1,
    ]


HEADS: dict[str, Any] = {
    "modalities": ["text"],
    "heads": [{"task": "category", "name": "category", "loss": "softmax", "start": 0, "stop": 6, "labels": LABELS}],
    "thresholds": {"category": {"text": 0.9}},
    "level_thresholds": {"category": {"text": {"1": 0.95, "2": 0.8}}},
}


def answer(scores: list[float], heads: dict[str, Any], language: str | None = None, top_k: int = 3) -> Answer:
    logits = np.log(np.maximum(scores, 1e-12))
    return Answer.from_outputs(Decider(heads, TASKS, top_k).answer(logits, "text", Query(language=language)))


@pytest.mark.parametrize(
    ("scores", "first", "score", "decision"),
    [
        ([0.0, 0.92, 0.0, 0.08, 0.0, 0.0], ("a", "y", "2"), 0.92, "auto"),
        ([0.0, 0.50, 0.1, 0.40, 0.0, 0.0], ("a", "y"), 0.90, "auto"),
        ([0.0, 0.40, 0.3, 0.28, 0.0, 0.02], ("a",), 0.98, "auto"),
        ([0.4, 0.30, 0.0, 0.30, 0.0, 0.0], ("b",), 0.40, "review"),
        ([0.85, 0.15, 0.0, 0.0, 0.0, 0.0], ("b",), 0.85, "review"),
    ],
    ids=["leaf", "parent", "root", "nothing", "a leaf without a parent"],
)
def test_an_answer_is_the_deepest_category_that_is_certain_before_the_best_leaves(
    scores: list[float], first: tuple[str, ...], score: float, decision: str
) -> None:
    found = answer(scores, HEADS)
    assert (found.categories[0], found.decisions) == (first, {"category": decision} | dict.fromkeys(
        ("attributes", "age_restricted"), "unknown"
    ))  # fmt: skip
    assert found.category_scores[0] == pytest.approx(score)
    best = [tuple(LABELS[number]) for number in np.argsort(-np.array(scores), kind="stable")]
    assert found.categories[1:] == [path for path in best if path != first][:2]
    assert found.category_ids == []
    assert answer(scores, {**HEADS, "level_thresholds": {}}).categories == best[:3]


def test_a_category_is_named_in_two_languages_by_its_id() -> None:
    paths = [["home", "mugs"], ["home", "lamps"], ["garden"]]
    head = {**HEADS["heads"][0], "labels": paths, "stop": 3}
    heads = {**HEADS, "heads": [head], "taxonomy": taxonomy_of(paths).describe()}
    heads["level_thresholds"] = {"category": {"text": {"1": 0.8}}}
    scores = [0.5, 0.4, 0.1]
    english, korean = (answer(scores, heads, language) for language in ("en-GB", "KO"))
    assert english.categories == [("home",), ("home", "mugs"), ("home", "lamps")]
    assert korean.categories == [tuple(map(in_korean, path)) for path in english.categories]
    assert english.category_ids == korean.category_ids == ["home", "mugs", "lamps"]


@dataclass(frozen=True)
class World:
    """Listings of 24 leaves below 4 parents: leaves are told apart badly, parents well."""

    paths: Paths
    groups: np.ndarray

    @classmethod
    def of(cls, seed: int, listings: int = 20_000) -> World:
        chance = np.random.default_rng(seed)
        labels = [[f"p{number // 6}", f"l{number}"] for number in range(24)]
        truth = chance.integers(0, 24, listings)
        logits = chance.normal(size=(listings, 24)) * 1.2
        logits[np.arange(listings), truth] += 1.5
        logits += 4.0 * (np.arange(24)[None, :] // 6 == truth[:, None] // 6) * (chance.random(listings) < 0.97)[:, None]
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        groups = np.arange(listings)
        answers = Answers.of(scores, truth, groups, "softmax")
        return cls(Paths(Levels(labels), scores, answers, [labels[number] for number in truth]), groups)

    def night(self, chosen: np.ndarray) -> Paths:
        truths = [self.paths.truths[place] for place in chosen]
        return Paths(self.paths.levels, self.paths.scores[chosen], self.paths.answers.part(chosen), truths)


def test_answers_that_back_off_keep_the_promise_and_are_more_than_leaves_alone() -> None:
    world, auto = World.of(0), EvaluateConfig().auto
    truth = world.paths.levels.places(world.paths.truths, 1)
    nights, broken, coverage, of_leaves = 150, 0, 0.0, 0.0
    for seed in range(nights):
        chosen = np.random.default_rng(seed).choice(len(world.groups), 500, replace=False)
        found = thresholds_by_level(world.night(chosen), np.arange(500) < 330, auto)
        certain = world.paths.answers.scores >= found.of(world.paths.answers.answer)
        ends = world.paths.levels.back_off(world.paths.scores, certain, found.levels or {})
        decided = certain | (ends.level != LEAF)
        right = np.where(ends.level == LEAF, ~world.paths.answers.wrong, ends.place == truth)
        broken += bool(decided.any()) and right[decided].mean() < auto.precision
        coverage, of_leaves = coverage + decided.mean() / nights, of_leaves + certain.mean() / nights
    assert broken / nights <= 0.07
    assert of_leaves < 0.1 < 0.5 < coverage
