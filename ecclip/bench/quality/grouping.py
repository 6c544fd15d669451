"""Matching and clustering by embeddings: how well held-out listings find the others of their product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ecclip.model import Towers
from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.matching.neighbours import all_neighbours
from ecclip.tasks.matching.pairs import mean_average_precision, score_neighbours
from ecclip.tasks.matching.report import cluster_counts, cluster_neighbours
from ecclip.train import encode_images, encode_texts

MODALITIES = ("image", "text", "both")
_NEIGHBOURS = 20  # of a listing that are looked at; the largest product of these sets has 13 listings
_THRESHOLDS = 20  # that validation chooses from; by judgment
_LARGEST = 200  # listings of a product, as in the configuration of matching


@dataclass(frozen=True)
class Listings:
    """Listings whose products are known: photos and titles, product number int64 [N] and split [N]."""

    name: str
    photos: list[bytes]
    titles: list[str]
    products: np.ndarray
    split: np.ndarray


@dataclass(frozen=True)
class Grouped:
    """What the test listings [n] found; of every listing its product's number is in ``products``.

    ``precision`` is the average precision of its neighbours, NaN for a listing that is alone in its product.
    ``right``, ``found`` and ``true`` count the others in its cluster that are of its product, in its cluster, and of
    its product: the pairwise F1 is 2 * sum(right) / sum(found + true).
    """

    products: np.ndarray
    precision: np.ndarray
    right: np.ndarray
    found: np.ndarray
    true: np.ndarray


def group_by_embeddings(towers: Towers, listings: Listings) -> dict[str, Grouped]:
    """Return what the test listings find among all listings, by modality."""
    preprocessor, workers = towers.preprocessor(), torch.get_num_threads()
    image = encode_images(towers, preprocessor, listings.photos, 16, workers)
    text = encode_texts(towers, preprocessor, listings.titles, 32, workers)
    both = np.concatenate([image, text], axis=1) / np.float32(np.sqrt(2))
    vectors = dict(zip(MODALITIES, (image, text, both), strict=True))
    return {name: group_by_vectors(own, listings.products, listings.split) for name, own in vectors.items()}


def group_by_vectors(vectors: np.ndarray, products: np.ndarray, split: np.ndarray) -> Grouped:
    """Return what the test listings find among all listings by float32 ``vectors`` [N, d] of length 1.

    Clusters are found as the stage group_products finds them, from the score at which the pairwise F1 of the
    validation listings is best.
    """
    scores, found = all_neighbours(vectors, min(_NEIGHBOURS, len(vectors) - 1))
    retrieved = score_neighbours(np.arange(len(vectors)), scores, found, products)
    precision = np.where(retrieved.relevant > 0, mean_average_precision(retrieved), np.nan)
    held_out, test = split == "validation", split == "test"
    matched = scores[held_out][retrieved.correct[held_out]]
    tried = np.unique(np.quantile(matched, np.linspace(0, 1, _THRESHOLDS))) if len(matched) else np.array([NEVER_AUTO])
    counts = [cluster_counts(cluster_neighbours(scores, found, threshold, _LARGEST), products) for threshold in tried]
    best = counts[int(np.argmax([_f1(*(one[held_out] for one in own)) for own in counts]))]
    given, true, right = (one[test] for one in best)
    return Grouped(products[test], precision[test], right, given, true)


def _f1(found: np.ndarray, true: np.ndarray, right: np.ndarray) -> float:
    return float(2 * right.sum() / max((found + true).sum(), 1))
