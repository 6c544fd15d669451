"""From logits to scores: the one definition, used by training, the report and the server.

Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

import numpy as np

AUTO = "auto"
REVIEW = "review"
UNKNOWN = "unknown"  # there were no labels to learn from: no answer, which is not the answer no
EVEN_CHANCE = 0.5  # an answer with a lower score is likelier wrong than right, and never auto
NEVER_AUTO = 2.0  # above every score: what a head without a usable threshold gets


def probabilities(logits: np.ndarray, loss: str) -> np.ndarray:
    """Return the probabilities [..., C] of ``logits`` [..., C] of a head: softmax over the classes, or the
    logistic function of each logit where ``loss`` is sigmoid."""
    values = np.asarray(logits, dtype=np.float64)
    if loss == "sigmoid":
        result: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * values))  # the logistic function without overflow
        return result
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def all_probabilities(logits: np.ndarray, starts: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Return the probabilities [C] of the ``logits`` [C] of several heads side by side, as :func:`probabilities` does.

    ``starts`` [H] are the columns where they begin; ``flags`` bool [C] the columns whose loss is sigmoid.
    """
    counts = np.diff(starts, append=len(logits))
    powers = np.exp(logits - np.repeat(np.maximum.reduceat(logits, starts), counts))
    shares = powers / np.repeat(np.add.reduceat(powers, starts), counts)
    result: np.ndarray = np.where(flags, 0.5 * (1.0 + np.tanh(0.5 * logits)), shares)
    return result


def confidence(scores: np.ndarray, loss: str) -> np.ndarray:
    """Return [...] of ``scores`` [..., C]: the probability of the answer, the best class or yes/no at one half."""
    if loss == "sigmoid":
        yes = scores[..., 0]
        return np.maximum(yes, 1.0 - yes)
    result: np.ndarray = scores.max(axis=-1)
    return result


def margins(scores: np.ndarray, loss: str) -> np.ndarray:
    """Return [N] of ``scores`` [N, C]: how far the likeliest answer is ahead of the next, of a flag yes of no.

    Margin sampling: Scheffer, Decomain and Wrobel (2001).
    """
    if loss == "sigmoid":
        return np.abs(2.0 * scores[:, 0] - 1.0)
    if scores.shape[1] == 1:
        return np.ones(len(scores))
    two = np.partition(scores, -2, axis=1)[:, -2:]
    result: np.ndarray = two[:, 1] - two[:, 0]
    return result


def answered(scores: np.ndarray, loss: str) -> np.ndarray:
    """Return the class [...] that ``scores`` [..., C] answer: the best one, or 1 for yes and 0 for no."""
    if loss == "sigmoid":
        return (scores[..., 0] >= 0.5).astype(np.int64)
    result: np.ndarray = scores.argmax(axis=-1)
    return result


def is_auto(scores: np.ndarray, thresholds: np.ndarray, loss: str) -> np.ndarray:
    """Return bool [...]: which answers of ``scores`` [..., C] reach the threshold of their class and an even chance.

    ``thresholds`` [C] are by class, of a flag for no and yes.
    """
    least = np.maximum(thresholds[answered(scores, loss)], EVEN_CHANCE)
    result: np.ndarray = confidence(scores, loss) >= least
    return result


def best(scores: np.ndarray, k: int) -> list[int]:
    """Return the indices of the ``k`` highest of ``scores`` [C], best first; equal scores in index order."""
    return [int(index) for index in np.argsort(-scores, kind="stable")[:k]]


def plain(score: float) -> float:
    """Return a score as it is written into an answer: six digits, so that the text is the same in every JSON."""
    return round(float(score), 6)
