"""What the tasks cost: answers beside towers, exact and inverted search by size, and matching of a whole catalog.

``python -m ecclip.bench.tasks.costs --out results/costs.json``. Embeddings are synthetic: products of four listings,
around the centres of a thousand categories. Seconds are processor time of all threads, which other work on the machine
hardly changes; the wall time of the whole catalog stands beside it. A search has one thread, as in ``group_products``.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ecclip.bench.listings import photos_and_titles
from ecclip.bench.machine import new_result
from ecclip.bench.measure import peak_bytes, processor_seconds
from ecclip.bench.quality.evaluated import photo_outputs, title_outputs
from ecclip.bench.result import Result, write_result
from ecclip.bench.tasks.answer_costs import Spent, enter_answers, seconds_of
from ecclip.core import settings
from ecclip.model import TowersConfig, build_towers
from ecclip.tasks import GroupProductsConfig, Heads
from ecclip.tasks.matching.candidates import neighbour_pairs
from ecclip.tasks.matching.neighbours import all_neighbours

_WIDTH = 256  # numbers of an embedding, as the default towers give
_CATEGORIES, _PRODUCT = 1000, 4  # categories of the catalog, listings of a product
_SPREAD, _NOISE = 0.7, 0.45  # of products around their category, of listings around their product; by judgment
_SAMPLE = 1000  # listings whose neighbours are looked up to measure a search
_SIZES = (25_000, 50_000, 100_000, 200_000, 400_000)  # listings of the catalogs that are searched
_WHOLE = 1_000_000  # listings of the catalog that is matched whole
_CLASSES = 5000  # answers of all heads of a bundle with thousands of categories; a usual one is in answer_costs
_LISTINGS = 256  # that towers and heads answer about


def catalog(listings: int, seed: int = 0) -> np.ndarray:
    """Return embeddings of a catalog, float32 [N, 256] of length 1; listings of a product stand side by side."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((_CATEGORIES, _WIDTH), dtype=np.float32)
    products = -(-listings // _PRODUCT)
    own = centres[chance.integers(0, _CATEGORIES, products)]
    own += _SPREAD * chance.standard_normal(own.shape, dtype=np.float32)
    vectors = np.repeat(own, _PRODUCT, axis=0)[:listings]
    vectors += _NOISE * chance.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def enter_crossover(result: Result, sizes: tuple[int, ...] = _SIZES) -> None:
    """Enter the cost of looking up every listing of a catalog, exactly and in an inverted file, by its size.

    Both are extrapolated from a sample of lookups; the inverted file's also has its training. Headline:
    ``search_crossover``, the smallest size at which the inverted file is cheaper.
    """
    cheaper = []
    for size in sizes:
        vectors = catalog(size)
        _, exact, truth = _lookups(vectors, size)
        build, inverted, found = _lookups(vectors, 0)
        seconds = {"exact": exact * size, "inverted file": build + inverted * size}
        for system, value in seconds.items():
            result.add(f"neighbours of {size:,} listings", system, "s of processor", [value])
        result.add(f"recall of {_k()} neighbours, {size:,} listings", "inverted file", "share", [_recall(found, truth)])
        cheaper += [size] if seconds["inverted file"] < seconds["exact"] else []
    if cheaper:
        result.head(search_crossover=cheaper[0])


def enter_whole(result: Result, listings: int = _WHOLE) -> None:
    """Enter what finding the candidate pairs of a whole catalog takes by the defaults of ``group_products``.

    The recall is that of the pairs of a sample of listings with their exact neighbours.
    """
    vectors, search = catalog(listings), GroupProductsConfig().search
    every = np.arange(listings)
    started = time.perf_counter()
    seconds, (left, right) = processor_seconds(lambda: neighbour_pairs(vectors, every, every, _k(), search))
    wall = time.perf_counter() - started
    asked = _sample(listings)
    truth = all_neighbours(vectors, _k(), asked, search.block_rows, listings)[1]
    ends = np.sort(np.stack([np.repeat(asked, _k()), truth.ravel()]), axis=0)
    recall = float(np.isin(ends[0] * listings + ends[1], left * listings + right).mean())
    what = f"matching of {listings:,} embeddings"
    result.add(f"{what}: wall time", "defaults", "s", [wall])
    result.add(f"{what}: processor time", "defaults", "s of processor", [seconds])
    result.add(f"{what}: peak memory", "defaults", "GiB", [peak_bytes() / 2**30])
    result.add(f"{what}: recall of {_k()} neighbours", "defaults", "share", [recall])
    result.head(whole_catalog_seconds=wall, whole_catalog_recall=recall)


def enter_heads(result: Result) -> None:
    """Enter the heads' share of what the default towers take, by processor time of photo and title, and of the rest."""
    torch.set_num_threads(settings().torch_threads)
    towers = build_towers(TowersConfig())
    photos, titles = photos_and_titles(_LISTINGS)
    towers_seconds, (image, text) = processor_seconds(
        lambda: (photo_outputs(towers, photos, TowersConfig().image_size), title_outputs(towers, titles))
    )
    widths = (image.shape[1], text.shape[1])
    weight = np.zeros((3, sum(widths), _CLASSES), dtype=np.float32)
    heads = Heads(TowersConfig().embedding_dim, weight, weight[:, 0], (), {}, widths=widths)
    share = seconds_of(partial(heads.logits, image, text, "both")) / towers_seconds
    result.add(f"heads of {_CLASSES:,} classes, of the towers", "photo and title", "share", [share])
    result.head(**{f"heads_share_{_CLASSES}": share})
    enter_answers(result, Spent(towers_seconds, titles, image, text), TowersConfig().embedding_dim)


def _lookups(vectors: np.ndarray, exact_rows: int) -> tuple[float, float, np.ndarray]:
    """Return processor seconds to build an index, those of a lookup, and the neighbours of the sample."""
    one, asked = np.arange(1), _sample(len(vectors))
    build, _ = processor_seconds(lambda: all_neighbours(vectors, _k(), one, exact_rows=exact_rows))
    both, found = processor_seconds(lambda: all_neighbours(vectors, _k(), asked, exact_rows=exact_rows))
    return build, max(both - build, 0.0) / (len(asked) - 1), found[1]


def _sample(listings: int) -> np.ndarray:
    return np.sort(np.random.default_rng(1).choice(listings, min(_SAMPLE, listings), replace=False))


def _k() -> int:
    return GroupProductsConfig().matching.neighbours


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([np.isin(own, true).mean() for own, true in zip(truth, found, strict=True)]))


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/costs.json"), help="file of results")
    parser.add_argument("--quick", action="store_true", help="seconds: proves that it runs; its figures mean nothing")
    chosen = parser.parse_args()
    result = new_result(f"ecclip bench costs{' --quick' if chosen.quick else ''}")
    enter_heads(result)
    with threadpool_limits(limits=1):  # as the stage searches
        enter_crossover(result, (2000, 4000) if chosen.quick else _SIZES)
        enter_whole(result, 8000 if chosen.quick else _WHOLE)
    write_result(result, chosen.out)


if __name__ == "__main__":
    main()
