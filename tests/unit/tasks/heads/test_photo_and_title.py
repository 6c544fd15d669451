"""Heads of photo and title together: never worse than the better of the two, better where each knows a part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from title_rows import title_rows

from ecclip.tasks import EvaluateConfig, Rows
from ecclip.tasks.heads.fitting import Trained, train_heads
from ecclip.tasks.kinds import Target

CLASSES, DIM = 6, 40
SIZES = {"train": 240, "validation": 120, "test": 1200}
LABELS = [f"{index}" for index in range(CLASSES)]


def world(photo: float, title: float, seed: int = 0) -> tuple[Rows, Target]:
    """Return listings whose photos and titles show their class, each with noise of its own deviation."""
    chance = np.random.default_rng(seed)
    split = np.repeat(list(SIZES), list(SIZES.values()))
    y = chance.integers(0, CLASSES, len(split))
    vectors = []
    for noise in (photo, title):
        x = chance.normal(size=(CLASSES, DIM))[y] + noise * chance.normal(size=(len(y), DIM))
        vectors.append((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    rows = replace(title_rows(vectors[1], split), image=vectors[0])
    return rows, Target("task", "task", "softmax", LABELS, y)


def fitted(rows: Rows, target: Target, fusion: str = "best") -> Trained:
    return train_heads(rows, [target], EvaluateConfig(heads={"fusion": fusion}))


def logits_of(found: Trained, rows: Rows, modality: str, split: str) -> np.ndarray:
    own = rows.split == split
    return found.heads.logits(rows.image[own], rows.text[own], modality).astype(np.float64)


def right(found: Trained, rows: Rows, target: Target, modality: str) -> np.ndarray:
    answers: np.ndarray = logits_of(found, rows, modality, "test").argmax(axis=1)
    return (answers == target.y[rows.split == "test"]).astype(float)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_photo_that_says_nothing_does_no_harm(seed: int) -> None:
    rows, target = world(photo=1000.0, title=2.5, seed=seed)
    found = fitted(rows, target)
    gap = right(found, rows, target, "both") - right(found, rows, target, "text")
    assert gap.mean() > -1.96 * gap.std() / np.sqrt(len(gap)) - 0.01
    at_once = right(fitted(rows, target, "joint"), rows, target, "both")
    assert right(found, rows, target, "both").mean() >= at_once.mean() - 0.005


def test_what_knows_nothing_decides_nothing() -> None:
    found = [fitted(*world(photo=photo, title=title)) for photo, title in ((1e3, 1.0), (1.0, 1e3), (3.0, 3.0))]
    assert [one.heads.decided_by(one.heads.parts[0]) for one in found] == ["text", "image", "both"]


def test_what_each_knows_adds_up() -> None:
    rows, target = world(photo=3.0, title=3.0)
    found = fitted(rows, target)
    alone = max(right(found, rows, target, modality).mean() for modality in ("image", "text"))
    assert right(found, rows, target, "both").mean() > alone + 0.05


def test_weighed_heads_are_the_best_that_validation_knows() -> None:
    """A dense grid over both weights finds no mixture of the two heads with less cross entropy."""
    rows, target = world(photo=4.0, title=2.5)
    found = fitted(rows, target, "stacked")
    y = target.y[rows.split == "validation"]
    doubt = 1 / (len(y) + 2)
    wanted = np.eye(CLASSES)[y] * (1 - doubt) + doubt / CLASSES
    image, text, both = (logits_of(found, rows, modality, "validation") for modality in ("image", "text", "both"))

    def loss(logits: np.ndarray) -> float:
        return float(-(wanted * log_softmax(logits, axis=1)).sum(axis=1).mean())

    grid = min(loss(a * image + b * text) for a in np.linspace(0, 2, 41) for b in np.linspace(0, 2, 41))
    assert loss(both) <= grid + 1e-3
    assert grid <= min(loss(image), loss(text))


def test_a_class_that_no_train_listing_has_stays_out_of_the_mixture() -> None:
    rows, target = world(photo=2.0, title=2.0)
    target.y[(rows.split == "train") & (target.y == 3)] = 4
    scores = softmax(logits_of(fitted(rows, target, "stacked"), rows, "both", "test"), axis=1)
    assert scores[:, 3].max() < 1e-6


def test_a_flag_is_weighed_too() -> None:
    rows, target = world(photo=2.0, title=2.0)
    flag = Target("task", "task", "sigmoid", ["flag"], (target.y == 0).astype(np.int64))
    found = fitted(rows, flag, "stacked")
    own = flag.y[rows.split == "test"]
    errors = {
        modality: float(((logits_of(found, rows, modality, "test")[:, 0] > 0) != (own == 1)).mean())
        for modality in ("image", "text", "both")
    }
    assert errors["both"] < min(errors["image"], errors["text"])
