"""Linear heads: logistic regression with its strength and its temperature chosen on validation.

Temperature scaling: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from ecclip.tasks.heads.logistic import fit_path

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
    """Features float32 [N, F] and class indices [N]; ``weights`` [N] are what each row counts, None: all the same."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None


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
    strengths = strengths if validation is not None else _middle(strengths)
    heads = (_spread(model, present, bias) for model in _path(train, strengths, max_iterations))
    return best_head(heads, validation)


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
    known = validation if validation is not None and len(np.unique(validation.y)) == 2 else None
    strengths = strengths if known is not None else _middle(strengths)
    models = _path(train, strengths, max_iterations, balanced=True)
    return best_head((LinearHead(model.weight, model.bias + prior) for model in models), known, log_loss_sigmoid)


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


def log_loss_of(loss: str) -> Callable[[np.ndarray, np.ndarray, float], float]:
    """Return the log loss of a target's ``loss``, sigmoid or softmax."""
    return log_loss_sigmoid if loss == "sigmoid" else log_loss_softmax


def _middle(strengths: tuple[float, ...]) -> tuple[float, ...]:
    return (sorted(strengths)[len(strengths) // 2],)


def best_head(
    heads: Iterable[LinearHead],
    validation: Samples | None,
    loss: Callable[[np.ndarray, np.ndarray, float], float] = log_loss_softmax,
) -> LinearHead:
    """Return the head of least validation loss at its own best temperature; without validation the first one.

    Heads come with less and less penalty, each dearer to fit than the one before: the first one that is worse than its
    predecessor is the last one looked at. n correct answers do not prove certainty: the labels are smoothed by
    1 / (n + 2), as in Platt (1999).
    """
    least = float("inf")
    best: LinearHead | None = None
    for head in heads:
        if validation is None:
            return head
        smoothing = 1.0 / (len(validation.y) + 2.0)
        logits = head.logits(validation.x)
        result = minimize_scalar(
            lambda log_t, logits=logits, smoothing=smoothing: loss(logits / np.exp(log_t), validation.y, smoothing),
            bounds=_LOG_TEMPERATURES,
            method="bounded",
        )
        if best is not None and result.fun >= least:
            break
        least, best = float(result.fun), head.cooled(float(np.exp(result.x)))
    if best is None:
        raise ValueError("a head needs at least one strength")
    return best


def _path(
    train: Samples, strengths: tuple[float, ...], max_iterations: int, *, balanced: bool = False
) -> Iterator[LinearHead]:
    """Fit one model per strength to the classes that are present, the strongest penalty first."""
    present, y = np.unique(train.y, return_inverse=True)
    path = fit_path(train.x, y, len(present), strengths, max_iterations, balanced=balanced, weights=train.weights)
    return (LinearHead(weight, bias) for weight, bias in path)


def _spread(head: LinearHead, present: np.ndarray, bias: np.ndarray) -> LinearHead:
    """Put the fitted columns at their class numbers; two classes come as one column of their difference."""
    weight, offset = head.weight, head.bias
    if len(present) == 2:
        weight, offset = np.concatenate([-weight, weight], 1) / 2, np.concatenate([-offset, offset]) / 2
    full = replace(head, weight=np.zeros((len(weight), len(bias))), bias=bias.copy())
    full.weight[:, present] = weight
    full.bias[present] = offset
    return full
