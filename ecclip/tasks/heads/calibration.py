"""Calibration of a head's logits, kept only where listings that it was not fitted to say that it helps.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017) of choices, Platt scaling (1999)
of flags: a flag's logit has an offset of its own, and stretching it alone would change how often the flag is expected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ecclip.tasks.heads.linear import UNSEEN, LinearHead, log_loss_of

_LOG_SCALES = (np.log(0.05), np.log(20.0))  # bounds of the search; by judgment
_SHIFTS = (-10.0, 10.0)  # bounds of a flag's shift, logits; by judgment
_FOLDS = 2  # halves: a third of validation is too little for more; by judgment


@dataclass(frozen=True)
class Calibration:
    """logits -> logits * ``scale`` + ``shift``."""

    scale: float = 1.0
    shift: float = 0.0

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Return the calibrated logits [...] of ``logits`` [...]."""
        return logits * self.scale + self.shift

    def undo(self, logits: np.ndarray) -> np.ndarray:
        """Return the logits [...] of which ``logits`` [...] are the calibrated ones."""
        return (logits - self.shift) / self.scale


def calibrated(
    head: LinearHead, x: np.ndarray, y: np.ndarray, groups: np.ndarray, loss: str
) -> tuple[LinearHead, Calibration]:
    """Return a head calibrated for features ``x`` [N, F] with labels ``y`` [N], and how; as it was fitted if that is
    better.

    Which is better is measured by cross-fitting: each half of the ``groups`` [N] is judged by what the other one found.
    A temperature that the head was chosen at is forgotten first. Classes that it has never seen stay out of it.
    """
    fitted = head.cooled(1.0 / head.temperature)
    seen = (fitted.weight != 0).any(axis=0) | (fitted.bias > UNSEEN / 2)
    logits = fitted.logits(x)[:, seen]
    if loss == "softmax":
        known, number = seen[y], np.cumsum(seen) - 1
        logits, y, groups = logits[known], number[y[known]], groups[known]
    found = _kept(logits, y, groups, loss)
    bias = np.where(seen, fitted.bias * found.scale + found.shift, UNSEEN)
    return LinearHead(fitted.weight * found.scale, bias), found


def _fit(logits: np.ndarray, y: np.ndarray, loss: str) -> Calibration:
    """Return the scale, and of a flag the shift, of least smoothed log loss on ``logits`` [N, C]."""
    smoothing = 1.0 / (len(y) + 2.0)  # n correct answers do not prove certainty (Platt 1999)

    def loss_at(point: np.ndarray) -> float:
        return log_loss_of(loss)(_at(point).apply(logits), y, smoothing)

    bounds = [_LOG_SCALES, _SHIFTS] if loss == "sigmoid" else [_LOG_SCALES]
    found = minimize(loss_at, np.zeros(len(bounds)), method="L-BFGS-B", bounds=bounds)
    return _at(found.x)


def _at(point: np.ndarray) -> Calibration:
    return Calibration(float(np.exp(point[0])), float(point[1]) if len(point) > 1 else 0.0)


def _kept(logits: np.ndarray, y: np.ndarray, groups: np.ndarray, loss: str) -> Calibration:
    """Return the calibration of ``logits`` [N, C], or none where it does not lower the log loss of the other half."""
    place = np.unique(groups, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(place.max(initial=-1) + 1)[place] % _FOLDS
    before = after = 0.0
    log_loss = log_loss_of(loss)
    for number in range(_FOLDS):
        fitted, judged = fold != number, fold == number
        if not fitted.any() or not judged.any() or (loss == "sigmoid" and len(np.unique(y[fitted])) < 2):
            return Calibration()
        found = _fit(logits[fitted], y[fitted], loss)
        before += log_loss(logits[judged], y[judged], 0.0) * judged.sum()
        after += log_loss(found.apply(logits[judged]), y[judged], 0.0) * judged.sum()
    return _fit(logits, y, loss) if after < before else Calibration()
