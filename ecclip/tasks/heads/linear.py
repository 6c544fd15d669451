"""Linear heads: logistic regression with its strength and its temperature chosen on validation.

Temperature scaling: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

# logit of a class without a training row, and of a flag without labels: a probability of 1e-13
UNSEEN = -30.0
_LOG_TEMPERATURES = (np.log(0.05), np.log(20.0))  # bounds of the search; by judgment


@dataclass(frozen=True)
class LinearHead:
    """logits = x @ weight + bias, float64 [F, C] and [C]; ``temperature`` is folded in, and kept for the report."""

    weight: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the logits [N, C] of features [N, F]."""
        result: np.ndarray = x @ self.weight + self.bias
        return result

    def cooled(self, temperature: float) -> LinearHead:
        """Return the head whose logits are divided by ``temperature``."""
        return LinearHead(self.weight / temperature, self.bias / temperature, self.temperature * temperature)


@dataclass(frozen=True)
class Samples:
    """Features float32 [N, F] and class indices [N]."""

    x: np.ndarray
    y: np.ndarray


def constant_head(features: int, bias: np.ndarray) -> LinearHead:
    """Return a head of that many ``features`` whose logits are ``bias`` [C] for every input."""
    return LinearHead(np.zeros((features, len(bias))), np.asarray(bias, dtype=np.float64))


def fit_softmax(
    train: Samples, validation: Samples | None, classes: int, strengths: tuple[float, ...], max_iterations: int
) -> LinearHead:
    """Fit a multinomial head [F, C] of ``classes`` C; validation rows choose strength and temperature by log loss."""
    present = np.unique(train.y)
    bias = np.full(classes, UNSEEN)
    bias[present] = 0.0
    if len(present) < 2:
        return constant_head(train.x.shape[1], bias)
    heads = [_spread(model, present, bias) for model in _path(train, strengths, max_iterations, class_weight=None)]
    return _best(heads, validation, log_loss_softmax)


def fit_sigmoid(
    train: Samples, validation: Samples | None, strengths: tuple[float, ...], max_iterations: int
) -> LinearHead:
    """Fit a head [F, 1] of a yes/no label (1 or 0).

    The rare side is weighted up to the other while fitting. The logit of the odds by which it was weighted is
    subtracted again, so that scores are probabilities at the natural frequency (King and Zeng 2001, prior correction).
    """
    share = float(train.y.mean()) if len(train.y) else 0.0
    if share in (0.0, 1.0):
        return constant_head(train.x.shape[1], np.array([-UNSEEN if share else UNSEEN]))
    prior = np.log(share / (1.0 - share))
    models = _path(train, strengths, max_iterations, class_weight="balanced")
    heads = [LinearHead(model.weight, model.bias + prior) for model in models]
    both_sides = validation is not None and len(np.unique(validation.y)) == 2
    return _best(heads, validation if both_sides else None, log_loss_sigmoid)


def log_loss_softmax(logits: np.ndarray, y: np.ndarray, smoothing: float = 0.0) -> float:
    """Return the mean cross entropy of classes ``y`` [N] under ``logits`` [N, C].

    A share ``smoothing`` of every label is spread over all classes (label smoothing, Szegedy et al. 2016).
    """
    top = logits.max(axis=1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    wanted = (1.0 - smoothing) * logits[np.arange(len(y)), y] + smoothing * logits.mean(axis=1)
    return float((total - wanted).mean())


def log_loss_sigmoid(logits: np.ndarray, y: np.ndarray, smoothing: float = 0.0) -> float:
    """Return the mean cross entropy of labels ``y`` [N] (1 or 0) under ``logits`` [N, 1]; ``smoothing`` as above."""
    yes = (1.0 - smoothing) * y + smoothing / 2
    return float((np.logaddexp(0.0, logits[:, 0]) - yes * logits[:, 0]).mean())


def _best(
    heads: list[LinearHead], validation: Samples | None, loss: Callable[[np.ndarray, np.ndarray, float], float]
) -> LinearHead:
    """Return the head of least validation loss at its own best temperature; without validation the middle one.

    n correct answers do not prove certainty: the labels are smoothed by 1 / (n + 2), as in Platt (1999).
    """
    if validation is None:
        return heads[len(heads) // 2]
    smoothing = 1.0 / (len(validation.y) + 2.0)
    found: list[tuple[float, int, LinearHead]] = []
    for number, head in enumerate(heads):
        logits = head.logits(validation.x)
        result = minimize_scalar(
            lambda log_t, logits=logits: loss(logits / np.exp(log_t), validation.y, smoothing),
            bounds=_LOG_TEMPERATURES,
            method="bounded",
        )
        found.append((float(result.fun), number, head.cooled(float(np.exp(result.x)))))
    return min(found, key=lambda entry: entry[:2])[2]


def _path(
    train: Samples, strengths: tuple[float, ...], max_iterations: int, class_weight: str | None
) -> list[LinearHead]:
    """Fit one model per strength, each starting from the one before; embeddings are centred and scaled meanwhile."""
    mean = train.x.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = float(np.sqrt(np.square(train.x - mean).mean())) or 1.0
    x = ((train.x - mean) / spread).astype(np.float32)
    model = LogisticRegression(max_iter=max_iterations, warm_start=True, class_weight=class_weight)
    heads = []
    for strength in sorted(strengths):
        model.C = strength
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of iterations is bounded on purpose
            model.fit(x, train.y)
        weight = model.coef_.T.astype(np.float64) / spread
        heads.append(LinearHead(weight, model.intercept_.astype(np.float64) - mean @ weight))
    return heads


def _spread(head: LinearHead, present: np.ndarray, bias: np.ndarray) -> LinearHead:
    """Put the fitted columns at their class numbers; two classes come as one column of their difference."""
    weight, offset = head.weight, head.bias
    if len(present) == 2:
        weight, offset = np.concatenate([-weight, weight], 1) / 2, np.concatenate([-offset, offset]) / 2
    full = replace(head, weight=np.zeros((len(weight), len(bias))), bias=bias.copy())
    full.weight[:, present] = weight
    full.bias[present] = offset
    return full
