"""Photo and title together: the heads of either alone, weighed against each other on validation.

A head that reads both at once pays for every column of the weaker side, and on a small shop a photo beside a good title
then does harm. Two weights learnt on validation rows (stacked generalisation, Wolpert 1992) cannot: a weight of 0 for
the photo is the title's head, which is among the choices. The result is as linear in the inputs as any other head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ecclip.tasks.heads.linear import UNSEEN, LinearHead, Samples

Loss = Callable[[np.ndarray, np.ndarray, float], float]
_BOUNDS = ((0.0, 4.0), (0.0, 4.0), (0.0, 1.0))  # of the weights of photo and title, and of the prior; by judgment
_STACKED, _AS_FITTED = 3, 1  # numbers that validation chose: two weights and the prior's; a temperature


@dataclass(frozen=True)
class Fused:
    """A head of photo and title, and what it costs on validation: log loss, and 1 / n for each number chosen there."""

    head: LinearHead
    cost: float


def stack(image: LinearHead, text: LinearHead, prior: np.ndarray, validation: Samples, loss: Loss) -> Fused:
    """Return a * image + b * text - c * prior of two heads of the same inputs, with a, b and c of least ``loss``.

    Args:
        image: reads the photo's columns alone.
        text: reads the title's columns alone.
        prior: logits [C] of the classes' frequencies, which both heads have counted already; UNSEEN of a class that
            neither knows.
        validation: rows with photo and title.
        loss: of logits, labels and a smoothing of them.
    """
    seen = prior > UNSEEN
    of_image, of_text = image.logits(validation.x), text.logits(validation.x)
    counted = np.where(seen, prior, 0.0)
    smoothing = _smoothing(validation)

    def logits(weights: np.ndarray) -> np.ndarray:
        mixed = weights[0] * of_image + weights[1] * of_text - weights[2] * counted
        return np.where(seen, mixed, UNSEEN)

    def cost(weights: np.ndarray) -> float:
        return loss(logits(weights), validation.y, smoothing)

    found = [minimize(cost, np.array(begin), bounds=_BOUNDS) for begin in ((0.5, 0.5, 0.0), (0.0, 1.0, 0.0))]
    best = min(found, key=lambda result: float(result.fun))
    a, b, c = (float(weight) for weight in best.x)
    weight = np.where(seen, a * image.weight + b * text.weight, 0.0)
    bias = np.where(seen, a * image.bias + b * text.bias - c * counted, UNSEEN)
    return Fused(LinearHead(weight, bias), float(best.fun) + _STACKED / len(validation.y))


def as_it_is(head: LinearHead, validation: Samples, loss: Loss) -> Fused:
    """Return a head as it was fitted, to both at once or to either alone, with its cost."""
    fitted = loss(head.logits(validation.x), validation.y, _smoothing(validation))
    return Fused(head, fitted + _AS_FITTED / len(validation.y))


def _smoothing(validation: Samples) -> float:
    return 1.0 / (len(validation.y) + 2.0)
