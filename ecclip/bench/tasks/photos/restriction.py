"""Age restriction: how much of what is restricted a system flags at one false-positive rate, found on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ecclip.bench.result import OURS
from ecclip.bench.tasks.cells import CHEAP, ON_VALIDATION, Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.photos.cheap import pictures
from ecclip.bench.tasks.photos.labels import seen
from ecclip.bench.tasks.photos.restricted import RESTRICTED, bordered, looks_of, on_like_backgrounds, restricted_shop
from ecclip.bench.tasks.photos.shops import Shop
from ecclip.bench.tasks.photos.towers import DIM, FROZEN_SIZES, photos_by, rows_by
from ecclip.formats.sampling import sets_thresholds
from ecclip.tasks import EvaluateConfig, Rows, train_heads
from ecclip.tasks.kinds import Target
from ecclip.tasks.operating_point import operating_point
from ecclip.tasks.rows import THRESHOLDS
from ecclip.tasks.scores import probabilities

TASK = "age restriction"
RATE = 0.02  # of false positives: what a hundred held-out negatives can show; by judgment
FLAGGED, LEFT = f"recall at {RATE:.0%} false positives", "unrestricted left alone"
_SAME, _UNSEEN = "unrestricted on a like background left alone", "restricted left alone where only the border is seen"
_STRENGTHS, _NEIGHBOURS = (1.0, 10.0, 100.0), 15  # scikit-learn's C, neighbours that vote; by judgment
_SHARE = 0.5  # of the photo beside the title, where the cheap system has both; by judgment


def measure_restriction(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return recall and the share of unrestricted listings that is not flagged, of the test listings of a set.

    The operating point is that of the recipe, or found alike for the cheap system, on validation listings that nothing
    was fitted to. Of photos two guards against backgrounds stand beside: unrestricted listings whose borders look like
    those of restricted ones, and restricted photos of which only the border is left.
    """
    shop = restricted_shop(data, cell.dataset)
    split = np.array(
        [THRESHOLDS if one.split == "validation" and sets_thresholds(one.group) else one.split for one in shop.products]
    )
    y = np.array([RESTRICTED in one.labels for one in shop.products], dtype=np.int64)
    target = Target(RESTRICTED, RESTRICTED, "sigmoid", [RESTRICTED], y, rate=RATE)
    by = _cheap if cell.system == CHEAP else _by_towers
    flagged, borders = by(cell, shop, split, target, work)
    return _judge(shop, split, y, flagged, borders)


def _judge(
    shop: Shop, split: np.ndarray, y: np.ndarray, flagged: np.ndarray, borders: np.ndarray | None
) -> dict[str, Measured]:
    """Return the figures of listings ``flagged``, bool [N], and of those whose ``borders`` are, bool [N] or None."""
    test, held_out = split == "test", split == THRESHOLDS

    def share(right: np.ndarray, asked: np.ndarray) -> Measured:
        return Measured(right[asked] * 1.0, np.ones(int(asked.sum())), shop.groups[asked])

    found = {FLAGGED: share(flagged, test & (y == 1)), LEFT: share(~flagged, test & (y == 0))}
    if borders is not None:
        found[_SAME] = share(~flagged, test & (y == 0) & on_like_backgrounds(shop))
        found[_UNSEEN] = share(~borders, test & (y == 1))
    return found | {ON_VALIDATION: share(flagged, held_out & (y == 1))}


def _by_towers(
    cell: Cell, shop: Shop, split: np.ndarray, target: Target, work: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    rows = replace(seen(rows_by(cell.system, shop, work), cell.modality), split=split, backgrounds=looks_of(shop))
    heads = train_heads(rows, [target], EvaluateConfig()).heads
    point = heads.points[target.name][cell.modality]["score"]

    def flags(asked: Rows) -> np.ndarray:
        logits = heads.logits(*asked.inputs(features=heads.read_features), cell.modality)
        found: np.ndarray = probabilities(logits, "sigmoid")[:, 0] >= point
        return found

    if cell.modality != "image":
        return flags(rows), None
    cut = photos_by(cell.system, shop, bordered(shop), work)
    return flags(rows), flags(replace(rows, image=cut[:, :DIM], image_features=cut[:, DIM:]))


def _cheap(
    cell: Cell, shop: Shop, split: np.ndarray, target: Target, _work: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    taught = split == "train"
    parts = {
        "text": lambda: _by_words(shop, split, target.y),
        "image": lambda: _by_pixels(shop, shop, taught, target.y),
    }
    wanted = ("image", "text") if cell.modality == "both" else (cell.modality,)
    found = [parts[name]() for name in wanted]
    scores = found[0] if len(found) == 1 else _SHARE * found[0] + (1 - _SHARE) * found[1]
    held_out = split == THRESHOLDS
    point = operating_point(scores[held_out], target.y[held_out], shop.groups[held_out], RATE).score
    if cell.modality != "image":
        return scores >= point, None
    return scores >= point, _by_pixels(shop, bordered(shop), taught, target.y) >= point


def _by_words(shop: Shop, split: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return probabilities [N] by logistic regression on tf-idf, its strength chosen on a third of validation."""
    titles, taught, chosen = np.array([one.title for one in shop.products]), split == "train", split == "validation"
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(titles[taught])
    every = words.transform(titles)
    fitted = [LogisticRegression(C=one, max_iter=300).fit(every[taught], y[taught]) for one in _STRENGTHS]
    found = [model.predict_proba(every)[:, 1] for model in fitted]

    def cost(scores: np.ndarray) -> float:
        right = np.where(y == 1, scores, 1 - scores)[chosen]
        return float(-np.log(np.maximum(right, 1e-9)).mean())

    return min(found, key=cost)


def _by_pixels(shop: Shop, asked: Shop, taught: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the share [N] of restricted ones among the nearest small pictures."""
    model = KNeighborsClassifier(_NEIGHBOURS, weights="distance", algorithm="brute")
    model.fit(pictures(shop.products)[taught], y[taught])
    found: np.ndarray = model.predict_proba(pictures(asked.products))[:, 1]
    return found


_TEXTS = ("instacart_products", "bigbasket")
_BOTTLES = ("whisky_bottles",)
PART = Part(
    [
        *side_by_side(measure_restriction, _TEXTS, TASK, "text"),
        *side_by_side(measure_restriction, _BOTTLES, TASK, "image", (CHEAP, *FROZEN_SIZES, OURS)),
        *side_by_side(measure_restriction, _BOTTLES, TASK, "text"),
        *side_by_side(measure_restriction, _BOTTLES, TASK, "both", (CHEAP, *FROZEN_SIZES, OURS)),
    ]
)
