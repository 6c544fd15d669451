"""Heads: fitted weights against scikit-learn, calibration, and the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ecclip.core import IntegrityError
from ecclip.tasks import Head, Heads, load_heads
from ecclip.tasks.heads.linear import (
    LinearHead,
    Samples,
    fit_sigmoid,
    fit_softmax,
    log_loss_sigmoid,
    log_loss_softmax,
)
from ecclip.tasks.scores import probabilities


def samples(rows: int, classes: int, seed: int = 0, spread: float = 0.8) -> Samples:
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 12))
    y = np.arange(rows) % classes
    x = centres[y] + spread * chance.normal(size=(rows, 12)) + 1.0
    return Samples((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_softmax_head_equals_scikit_learn(classes: int) -> None:
    """The centring and scaling that only speed up the solver must leave scikit-learn's own probabilities."""
    train, other = samples(300, classes), samples(50, classes, seed=1)
    mean, spread = train.x.mean(axis=0), np.sqrt(np.square(train.x - train.x.mean(axis=0)).mean())
    model = LogisticRegression(C=0.3, max_iter=2000, tol=1e-8)
    model.fit(((train.x - mean) / spread).astype(np.float64), train.y)
    expected = model.predict_proba((other.x - mean) / spread)
    head = fit_softmax(train, None, classes, (0.3,), 2000)
    assert probabilities(head.logits(other.x), "softmax") == pytest.approx(expected, abs=2e-3)


def test_classes_without_a_train_row_are_never_answered() -> None:
    train = samples(200, 3)
    head = fit_softmax(Samples(train.x, train.y * 2), None, 6, (0.1,), 100)
    scores = probabilities(head.logits(train.x), "softmax")
    assert scores[:, [1, 3, 5]].max() < 1e-6
    assert (scores.argmax(axis=1) == train.y * 2).mean() > 0.8


def test_one_class_alone_is_answered_with_certainty() -> None:
    train = samples(20, 1)
    head = fit_softmax(train, train, 1, (0.1, 1.0), 100)
    assert probabilities(head.logits(train.x), "softmax").ravel().tolist() == [1.0] * 20


@pytest.mark.parametrize("label", [0, 1])
def test_a_flag_with_one_label_is_a_constant(label: int) -> None:
    head = fit_sigmoid(Samples(samples(20, 2).x, np.full(20, label)), None, (0.1,), 100)
    assert not head.weight.any()
    assert probabilities(head.bias, "sigmoid")[0] == pytest.approx(label, abs=1e-9)


def test_a_rare_flag_has_scores_that_add_up_to_its_share() -> None:
    """Weighting the rare side while fitting must not stay in the scores."""
    chance = np.random.default_rng(3)
    x = chance.normal(size=(4000, 6)).astype(np.float32)
    y = (chance.random(4000) < 1 / (1 + np.exp(-(1.2 * x[:, 0] - 3.5)))).astype(np.int64)
    head = fit_sigmoid(Samples(x, y), None, (1.0,), 500)
    assert probabilities(head.logits(x), "sigmoid").mean() == pytest.approx(y.mean(), rel=0.25)
    assert y.mean() < 0.08


def test_the_temperature_is_the_best_of_a_fine_grid() -> None:
    train, validation = samples(400, 4, spread=1.6), samples(200, 4, seed=2, spread=1.6)
    head = fit_softmax(train, validation, 4, (10.0,), 500)
    raw = head.logits(validation.x) * head.temperature
    doubt = 1 / (len(validation.y) + 2)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 800))
    losses = [log_loss_softmax(raw / temperature, validation.y, doubt) for temperature in grid]
    assert head.temperature == pytest.approx(grid[int(np.argmin(losses))], rel=0.02)


def test_a_faultless_validation_set_does_not_make_scores_certain() -> None:
    train, validation = samples(300, 3, spread=0.05), samples(30, 3, seed=1, spread=0.05)
    head = fit_softmax(train, validation, 3, (0.01, 1.0), 200)
    scores = probabilities(head.logits(validation.x), "softmax").max(axis=1)
    assert 0.9 < scores.mean() < 0.995


def test_losses_equal_plain_loops() -> None:
    chance = np.random.default_rng(0)
    logits, y = chance.normal(size=(9, 3)), chance.integers(0, 3, 9)
    shares = probabilities(logits, "softmax")
    assert log_loss_softmax(logits, y) == pytest.approx(-np.mean([np.log(shares[i, y[i]]) for i in range(9)]))
    flags, one = y % 2, logits[:, :1]
    chances = probabilities(one, "sigmoid")[:, 0]
    expected = -np.mean([np.log(p if flag else 1 - p) for p, flag in zip(chances, flags, strict=True)])
    assert log_loss_sigmoid(one, flags) == pytest.approx(expected)


def test_cooling_divides_the_logits() -> None:
    head = LinearHead(np.ones((2, 3)), np.arange(3.0)).cooled(2.0).cooled(1.5)
    assert head.temperature == 3.0
    assert head.logits(np.ones((1, 2))).ravel() == pytest.approx([2 / 3, 1.0, 4 / 3])


def make_heads() -> Heads:
    chance = np.random.default_rng(0)
    tasks = (
        Head("attributes", "attribute:색상", "softmax", 0, 3, [None, "빨강", "blue"]),
        Head("age_restricted", "age_restricted", "sigmoid", 3, 4, ["age_restricted"]),
    )
    weight = chance.normal(size=(3, 8, 4)).astype(np.float32)
    bias = chance.normal(size=(3, 4)).astype(np.float32)
    return Heads(4, weight, bias, tasks, {"age_restricted": {"both": 0.75}})


def test_saved_heads_come_back_whole_and_twice_the_same(tmp_path: Path) -> None:
    heads = make_heads()
    heads.save(tmp_path / "one")
    back = load_heads(tmp_path / "one")
    back.save(tmp_path / "two")
    assert back.describe() == heads.describe()
    assert (back.weight == heads.weight).all()
    assert (back.bias == heads.bias).all()
    for name in ("heads.json", "heads.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_missing_embedding_counts_as_zeros() -> None:
    heads, text = make_heads(), np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    expected = text @ heads.weight[1, 4:] + heads.bias[1]
    nothing = np.full((5, 4), np.nan, np.float32)
    assert heads.logits(None, text, "text") == pytest.approx(expected, abs=1e-6)
    assert heads.logits(nothing, text, "text") == pytest.approx(expected, abs=1e-6)


def test_a_column_belongs_to_its_modality() -> None:
    heads = make_heads()
    image = np.ones((1, 4), np.float32)
    assert not np.allclose(heads.logits(image, image, "image"), heads.logits(image, image, "both"))


@pytest.mark.parametrize("damage", ["missing", "truncated", "shape"])
def test_damaged_heads_are_refused(tmp_path: Path, damage: str) -> None:
    make_heads().save(tmp_path)
    tensors = tmp_path / "heads.safetensors"
    if damage == "missing":
        tensors.unlink()
    elif damage == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:-7])
    else:
        description = (tmp_path / "heads.json").read_text()
        (tmp_path / "heads.json").write_text(description.replace('"dim": 4', '"dim": 5'))
    with pytest.raises(IntegrityError):
        load_heads(tmp_path)
