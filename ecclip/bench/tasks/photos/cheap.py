"""The cheap system: logistic regression on tf-idf of titles, and the nearest neighbours of small pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ecclip.bench.quality.data import Product
from ecclip.tasks.kinds import Target

_SIDE = 16  # pixels of a small picture; by judgment
# grids that validation chooses from; by judgment
_STRENGTHS = (1.0, 10.0, 100.0)  # scikit-learn's C
_NEIGHBOURS = (1, 5, 15)  # that vote
_WEIGHTS = (0.25, 0.5, 0.75)  # of the photo beside the title
_LEAST = 1e-6  # probability of a class that no neighbour has
_Fit = Callable[[Target, np.ndarray], np.ndarray]  # a target and the rows to learn from -> log probabilities of all


def cheap_answers(
    products: Sequence[Product], split: np.ndarray, target: Target, modality: str
) -> dict[str, np.ndarray]:
    """Return where the cheap system is right, by split and modality, as the heads' answers are: float64 [N]."""
    taught = (split == "train") & (target.y >= 0)
    held_out = (split == "validation") & (target.y >= 0)
    parts = {"image": ("image",), "text": ("text",), "both": ("image", "text")}[modality]
    scores = [_best([fit(target, taught) for fit in _FITS[part](products)], target, held_out) for part in parts]
    if len(scores) == 2:
        scores = [_best([share * scores[0] + (1 - share) * scores[1] for share in _WEIGHTS], target, held_out)]
    right = (scores[0].argmax(axis=1) == target.y).astype(np.float64)
    return {
        f"{part} {modality}": np.where((split == part) & (target.y >= 0), right, np.nan)
        for part in ("test", "validation")
    }


def pictures(products: Sequence[Product]) -> np.ndarray:
    """Return photos as small pictures, float32 [N, 3 * side * side] from 0 to 1."""

    def small(photo: bytes) -> np.ndarray:
        with Image.open(io.BytesIO(photo), formats=("JPEG",)) as image:
            return np.asarray(image.convert("RGB").resize((_SIDE, _SIDE)), dtype=np.float32).ravel() / 255

    return np.stack([small(one.image) for one in products])


def _best(scores: Sequence[np.ndarray], target: Target, held_out: np.ndarray) -> np.ndarray:
    return max(scores, key=lambda one: float((one[held_out].argmax(axis=1) == target.y[held_out]).mean()))


def _by_title(products: Sequence[Product]) -> list[_Fit]:
    titles = [one.title for one in products]

    def fit(strength: float, target: Target, taught: np.ndarray) -> np.ndarray:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        words.fit([title for title, known in zip(titles, taught, strict=True) if known])
        every = words.transform(titles)
        model = LogisticRegression(C=strength, max_iter=300).fit(every[taught], target.y[taught])
        return _spread(model.predict_proba(every), model.classes_, target)

    return [partial(fit, strength) for strength in _STRENGTHS]


def _by_photo(products: Sequence[Product]) -> list[_Fit]:
    small = pictures(products)

    def fit(neighbours: int, target: Target, taught: np.ndarray) -> np.ndarray:
        model = KNeighborsClassifier(neighbours, weights="distance", algorithm="brute")
        model.fit(small[taught], target.y[taught])
        return _spread(model.predict_proba(small), model.classes_, target)

    return [partial(fit, count) for count in _NEIGHBOURS]


def _spread(probabilities: np.ndarray, classes: np.ndarray, target: Target) -> np.ndarray:
    """Return log probabilities [N, C] of all classes."""
    every = np.full((len(probabilities), len(target.labels)), _LEAST)
    every[:, classes] = np.maximum(probabilities, _LEAST)
    found: np.ndarray = np.log(every)
    return found


_FITS = {"image": _by_photo, "text": _by_title}
