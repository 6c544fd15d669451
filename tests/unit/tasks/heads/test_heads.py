"""Heads: fitted weights against scikit-learn, calibration, and the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from title_rows import title_rows

from ecclip.core import IntegrityError
from ecclip.tasks import EvaluateConfig, Head, Heads, load_heads
from ecclip.tasks.heads.calibration import Calibration
from ecclip.tasks.heads.fitting import Trained, train_heads
from ecclip.tasks.kinds import Target

Samples = tuple[np.ndarray, np.ndarray]  # embeddings [N, F] and class numbers [N]
NOTHING: Samples = (np.zeros((0, 12), np.float32), np.zeros(0, np.int64))


def samples(rows: int, classes: int, seed: int = 0, spread: float = 0.8) -> Samples:
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 12))
    y = np.arange(rows) % classes
    x = centres[y] + spread * chance.normal(size=(rows, 12)) + 1.0
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y


def trained(
    train: Samples,
    validation: Samples,
    labels: int,
    strengths: tuple[float, ...],
    iterations: int = 100,
    groups: np.ndarray | None = None,
    loss: str = "softmax",
) -> Trained:
    """Return the head of one task whose listings have titles alone; ``groups`` are products."""
    x, y = (np.concatenate(parts) for parts in zip(train, validation, strict=True))
    split = np.array(["train"] * len(train[1]) + ["validation"] * len(validation[1]))
    target = Target("task", "task", loss, [f"{index}" for index in range(labels)], y)
    cfg = EvaluateConfig(heads={"regularisation": strengths, "max_iterations": iterations}, calibration={"min_rows": 1})
    return train_heads(title_rows(x, split, groups), [target], cfg)


def logits_of(found: Trained, x: np.ndarray) -> np.ndarray:
    return found.heads.logits(None, x, "text").astype(np.float64)


def scores_of(found: Trained, x: np.ndarray) -> np.ndarray:
    return softmax(logits_of(found, x), axis=1)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_softmax_head_equals_scikit_learn(classes: int) -> None:
    """The centring and scaling that only speed up the solver must leave scikit-learn's own probabilities."""
    (x, y), (other, _) = samples(300, classes), samples(50, classes, seed=1)
    mean, spread = x.mean(axis=0), np.sqrt(np.square(x - x.mean(axis=0)).mean())
    model = LogisticRegression(C=0.3, max_iter=2000, tol=1e-8)
    model.fit(((x - mean) / spread).astype(np.float64), y)
    expected = model.predict_proba((other - mean) / spread)
    found = trained((x, y), NOTHING, classes, (0.3,), 2000)
    assert scores_of(found, other) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("rows", [60, 400])
def test_every_block_of_what_is_read_counts_the_same_whatever_its_width_and_length(rows: int) -> None:
    """Fitted on axes of embedding and features, a head is scikit-learn's on both, each scaled to equal variance."""
    chance = np.random.default_rng(0)
    y = np.arange(rows + 50) % 3
    parts = [
        size * (chance.normal(size=(3, width))[y] + 3 * chance.normal(size=(len(y), width)) + 1.0)
        for size, width in ((10.0, 12), (0.01, 90))
    ]
    split = np.array(["train"] * rows + ["test"] * 50)
    scaled = [part - part[:rows].mean(axis=0) for part in parts]
    scaled = [part * np.sqrt(51 / np.square(part[:rows]).sum(axis=1).mean()) for part in scaled]
    model = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
    model.fit(np.concatenate(scaled, axis=1)[:rows], y[:rows])
    listings = title_rows(parts[0].astype(np.float32), split)
    nothing = np.full((len(y), 1), np.nan, np.float32)
    listings = replace(listings, image_features=nothing, text_features=parts[1].astype(np.float32))
    target = Target("task", "task", "softmax", ["0", "1", "2"], y)
    found = train_heads(listings, [target], EvaluateConfig(heads={"regularisation": (0.1,)}))
    read = listings.inputs(features=True)[1][rows:]
    expected = model.predict_proba(np.concatenate(scaled, axis=1)[rows:])
    assert scores_of(found, read) == pytest.approx(expected, abs=5e-3)


def test_axes_beyond_those_that_are_kept_are_not_read() -> None:
    """Of two directions in which titles differ, the wider one is kept, and only the other one says the class."""
    chance = np.random.default_rng(0)
    y = np.arange(300) % 2
    x = (0.01 * chance.normal(size=(300, 8))).astype(np.float32)
    x[:, 0] += chance.normal(size=300) * 5
    x[:, 1] += chance.normal(size=300) * 4
    x[:, 2] += y
    split = np.array(["train"] * 300)
    target = Target("task", "task", "softmax", ["0", "1"], y)
    right = {}
    for axes in (2, 3):
        found = train_heads(title_rows(x, split), [target], EvaluateConfig(heads={"axes": axes}))
        right[axes] = float((scores_of(found, x).argmax(axis=1) == y).mean())
    assert right[2] < 0.7
    assert right[3] > 0.99


def test_classes_without_a_train_row_are_never_answered() -> None:
    x, y = samples(200, 3)
    scores = scores_of(trained((x, y * 2), NOTHING, 6, (0.1,)), x)
    assert scores[:, [1, 3, 5]].max() < 1e-6
    assert (scores.argmax(axis=1) == y * 2).mean() > 0.8


def test_one_class_alone_is_answered_with_certainty() -> None:
    train = samples(20, 1)
    found = trained(train, train, 1, (0.1, 1.0))
    assert scores_of(found, train[0]).ravel().tolist() == [1.0] * 20


@pytest.mark.parametrize("label", [0, 1])
def test_a_flag_with_one_label_is_a_constant(label: int) -> None:
    x, _ = samples(20, 2)
    found = trained((x, np.full(20, label)), NOTHING, 1, (0.1,), loss="sigmoid")
    assert not found.heads.weight.any()
    assert expit(logits_of(found, x)).ravel() == pytest.approx(np.full(20, label), abs=1e-9)
    assert found.untrained["task/text"] == "all train listings have the same label"


def test_a_rare_flag_has_scores_that_add_up_to_its_share() -> None:
    """Weighting the rare side while fitting must not stay in the scores."""
    chance = np.random.default_rng(3)
    x = chance.normal(size=(4000, 12)).astype(np.float32)
    y = (chance.random(4000) < 1 / (1 + np.exp(-(1.2 * x[:, 0] - 3.5)))).astype(np.int64)
    found = trained((x, y), NOTHING, 1, (1.0,), 500, loss="sigmoid")
    assert expit(logits_of(found, x)).mean() == pytest.approx(y.mean(), rel=0.25)
    assert y.mean() < 0.08


@pytest.mark.parametrize(("loss", "classes", "spread"), [("softmax", 4, 1.6), ("sigmoid", 2, 0.8)])
def test_the_calibration_is_the_best_of_a_fine_grid(loss: str, classes: int, spread: float) -> None:
    """Of the cross entropy, with every label doubted by 1 / (n + 2); a flag is a choice between 0 and its logit."""
    train, (x, y) = samples(400, classes, spread=spread), samples(200, classes, seed=2, spread=spread)
    found = trained(train, (x, y), classes if loss == "softmax" else 1, (10.0,), 500, loss=loss)
    kept = found.calibrations["task", "text"]
    raw = kept.undo(logits_of(found, x))
    doubt = 1 / (len(y) + 2)
    wanted = np.full((len(y), classes), doubt / classes)
    wanted[np.arange(len(y)), y] += 1 - doubt

    def loss_of(scale: float, shift: float) -> float:
        tried = raw * scale + shift
        tried = tried if loss == "softmax" else np.concatenate([np.zeros((len(y), 1)), tried], axis=1)
        return float(-(wanted * log_softmax(tried, axis=1)).sum())

    shifts = np.linspace(-1, 1, 41) if loss == "sigmoid" else [0.0]
    best = min(
        loss_of(scale, shift) for scale in np.exp(np.linspace(np.log(0.05), np.log(20), 200)) for shift in shifts
    )
    assert kept.scale != 1.0
    assert loss_of(kept.scale, kept.shift) <= best + 1e-3


def test_a_calibration_is_kept_where_it_helps_products_that_it_was_not_fitted_to() -> None:
    """A head that is hardly sure of anything and right gains by it; one product has no other to say so."""
    train, (x, y) = samples(300, 2, spread=0.4), samples(24, 2, seed=1, spread=0.4)
    products = {"many": np.arange(300, 324), "one": np.full(24, 300)}
    found = {
        name: trained(train, (x, y), 2, (0.001,), groups=np.append(np.arange(300), own))
        for name, own in products.items()
    }
    assert found["many"].calibrations["task", "text"].scale > 3
    assert found["one"].calibrations["task", "text"] == Calibration()
    sure = {name: scores_of(one, x).max(axis=1).mean() for name, one in found.items()}
    assert sure["one"] < 0.75 < 0.9 < sure["many"]


def test_a_head_that_knows_its_errors_is_left_as_it_was_fitted() -> None:
    """Fitted to plenty it needs no calibration, and most of what 24 listings suggest would only harm."""
    train = samples(3000, 4, spread=1.6)
    kept = [
        trained(train, samples(24, 4, seed=seed, spread=1.6), 4, (1.0,)).calibrations["task", "text"]
        for seed in range(10)
    ]
    assert sum(one != Calibration() for one in kept) <= 4


def test_a_faultless_validation_set_does_not_make_scores_certain() -> None:
    train, validation = samples(300, 3, spread=0.05), samples(30, 3, seed=1, spread=0.05)
    found = trained(train, validation, 3, (0.01, 1.0), 200)
    assert 0.9 < scores_of(found, validation[0]).max(axis=1).mean() < 0.999


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
