"""Heads of many classes in closed form: scikit-learn's discriminants, and what a parent says of a rare leaf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from title_rows import title_rows

from ecclip.tasks import EvaluateConfig, train_heads
from ecclip.tasks.kinds import Target

LEAVES, PARENTS, WIDTH = 30, 6, 12


def listings(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors [N, 12] and leaves [N]; leaves of one parent, of which there are six, lie near each other."""
    centres = np.random.default_rng(9)
    parents = centres.normal(size=(PARENTS, WIDTH))
    leaves = np.repeat(parents, LEAVES // PARENTS, axis=0) + 0.5 * centres.normal(size=(LEAVES, WIDTH))
    chance = np.random.default_rng(seed)
    y = np.arange(rows) % LEAVES
    shape = np.linspace(0.3, 0.9, WIDTH)  # of the classes: no ball
    return (leaves[y] + shape * chance.normal(size=(rows, WIDTH))).astype(np.float32), y


def answers(train: tuple[np.ndarray, np.ndarray], asked: np.ndarray, labels: list[Any]) -> np.ndarray:
    parts = [train, listings(300, 1), (asked, np.zeros(len(asked), np.int64))]
    vectors, y = (np.concatenate(one) for one in zip(*parts, strict=True))
    split = np.repeat(["train", "validation", "test"], [len(one[1]) for one in parts])
    cfg = EvaluateConfig(heads={"discriminant_above": 2})
    found = train_heads(title_rows(vectors, split), [Target("task", "task", "softmax", labels, y)], cfg)
    result: np.ndarray = found.heads.logits(None, asked, "text").argmax(axis=1)
    return result


def test_with_listings_enough_they_answer_as_scikit_learn_does() -> None:
    train, (asked, truth) = listings(3000, 0), listings(900, 2)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.02).fit(*train)
    found = answers(train, asked, [f"{number}" for number in range(LEAVES)])
    assert (found == model.predict(asked)).mean() > 0.97
    assert (found == truth).mean() == pytest.approx(model.score(asked, truth), abs=0.01)


def test_a_rare_leaf_is_found_below_its_parent_and_one_without_listings_is_never_answered() -> None:
    x, y = listings(3000, 0)
    rare = y % (LEAVES // PARENTS) == 0  # one leaf of each parent
    kept = ~rare | (np.arange(len(y)) < LEAVES)  # has one training listing
    kept &= y != 1
    asked, truth = listings(900, 2)
    paths = [[f"p{leaf // (LEAVES // PARENTS)}", f"l{leaf}"] for leaf in range(LEAVES)]
    right = {}
    for name, labels in (("paths", paths), ("names", [path[1] for path in paths])):
        found = answers((x[kept], y[kept]), asked, labels)
        assert 1 not in found
        of_rare = truth % (LEAVES // PARENTS) == 0
        right[name] = float((found[of_rare] == truth[of_rare]).mean())
    assert right["paths"] > right["names"]
