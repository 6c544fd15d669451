"""Products by photos alone: clusters of one style in several colours, and shelf photos to a catalogue's photos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ecclip.bench.quality import group_by_vectors
from ecclip.bench.result import OURS
from ecclip.bench.tasks.cells import CHEAP, ON_VALIDATION, Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.photos.cheap import pictures
from ecclip.bench.tasks.photos.labels import PHOTO_SYSTEMS
from ecclip.bench.tasks.photos.shops import ICONIC, Shop, shop_of
from ecclip.bench.tasks.photos.towers import DIM, photos_by


def measure_clusters(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return pairwise F1 and mean average precision of test listings among all listings of the set.

    The threshold of a match is the one with the best pairwise F1 of validation listings.
    """
    shop = shop_of(data, cell.dataset)
    names = [one.keys[0] for one in shop.products]
    products = np.unique(names, return_inverse=True)[1]
    found = group_by_vectors(_vectors(cell.system, shop, work), products, np.array(shop.split))
    several = ~np.isnan(found.precision)
    return {
        "pairwise F1": Measured(2.0 * found.right, 1.0 * found.found + found.true, found.products),
        "mean average precision": Measured(
            found.precision[several], np.ones(int(several.sum())), found.products[several]
        ),
    }


def measure_catalogue(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return how often the catalogue's photo that is nearest to a shelf photo shows the same class."""
    shop = shop_of(data, cell.dataset)
    vectors, split = _vectors(cell.system, shop, work), np.array(shop.split)
    iconic = np.flatnonzero([one.listing_id.startswith(ICONIC) for one in shop.products])
    nearest = iconic[(vectors @ vectors[iconic].T).argmax(axis=1)]
    right = (shop.groups[nearest] == shop.groups) * 1.0
    return {
        name: Measured(right[split == part], np.ones(int((split == part).sum())), shop.groups[split == part])
        for name, part in (("recall at 1", "test"), (ON_VALIDATION, "validation"))
    }


def _vectors(system: str, shop: Shop, work: Path) -> np.ndarray:
    """Return what photos are compared by, float32 [N, d] of length 1.

    Ours is the embedding. Towers that no contrastive stage has trained have a random projection: their features.
    """
    if system == CHEAP:
        small = pictures(shop.products)
        vectors = small - small.mean(axis=1, keepdims=True)
    else:
        outputs = photos_by(system, shop, shop, work)
        vectors = outputs[:, :DIM] if system == OURS else outputs[:, DIM:]
    vectors = np.nan_to_num(vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)


PART = Part(
    [
        *side_by_side(measure_clusters, ["hm_articles"], "clustering", "image", PHOTO_SYSTEMS),
        *side_by_side(measure_catalogue, ["grocery_store"], "matching", "image", PHOTO_SYSTEMS),
    ]
)
