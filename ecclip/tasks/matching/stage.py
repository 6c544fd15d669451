"""The stage ``group_products``: matching and clustering of a whole snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from ecclip.core import Counts, stage
from ecclip.formats.answers import write_products
from ecclip.tasks.config import GroupProductsConfig
from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.matching.neighbours import all_neighbours, mutual_pairs, neighbour_blocks
from ecclip.tasks.matching.pairs import match_threshold, score_neighbours
from ecclip.tasks.matching.products import View, cluster
from ecclip.tasks.rows import Rows, load_rows


@dataclass(frozen=True)
class Matches:
    """Matched pairs: row numbers left < right [M] and scores [M], in order."""

    left: np.ndarray
    right: np.ndarray
    scores: np.ndarray


@stage
def group_products(cfg: GroupProductsConfig, snapshot: Path, embedded: Path, output: Path) -> Counts:
    """Match all listings of a snapshot and write products.parquet and matches.parquet.

    Two listings match if each is among the other's nearest and their score reaches the threshold: by photo and
    title, or by title alone where one of them has no photo. ``products.parquet`` (listing_id, product_id, score)
    names a product by its smallest listing_id; score is the listing's best match inside the product, null where it
    has none. ``matches.parquet`` is (left, right, score), left < right. Memory holds the embeddings and the pairs at
    or above the threshold, never all pairs.

    Raises:
        ContractError: the embeddings are not those of the snapshot.
    """
    with threadpool_limits(limits=1):  # sums in one order: equal bytes whatever the machine's thread settings
        rows = load_rows(snapshot, embedded)
        views, matches = _match_both_ways(rows, cfg)
        has_image = rows.has("both")
        known = rows.groups if cfg.keep_known_groups else None
        products = cluster(
            matches.left, matches.right, matches.scores, views, has_image, cfg.matching.max_product_size, known
        )
    _write(output, rows, matches, products)
    agreed = rows.groups[matches.left] == rows.groups[matches.right]
    sizes = np.bincount(products)
    return Counts(
        read={"listings": len(products)},
        written={"products": int((sizes > 0).sum()), "matches": len(matches.left)},
        detail={
            "products_of_several": int((sizes > 1).sum()),
            "matches_in_known_groups": int(agreed.sum()),
            "thresholds": {name: round(view.threshold, 6) for name, view in views.items()},
            "thresholds_found": {name: view.threshold < NEVER_AUTO for name, view in views.items()},
        },
    )


def _match_both_ways(rows: Rows, cfg: GroupProductsConfig) -> tuple[dict[str, View], Matches]:
    """By photo and title among listings that have both; by title alone only pairs of which one has no photo."""
    views: dict[str, View] = {}
    parts: list[Matches] = []
    given = {"both": cfg.threshold.both, "text": cfg.threshold.text}
    for name, wanted in given.items():
        members = np.flatnonzero(rows.has(name))
        vectors = rows.vectors(name)
        chosen = vectors[members]
        threshold = wanted if wanted is not None else _threshold(chosen, rows, members, cfg)
        views[name] = View(np.nan_to_num(vectors, nan=0.0), threshold)
        found = _match(chosen, threshold, cfg)
        parts.append(Matches(members[found.left], members[found.right], found.scores))
    has_image = rows.has("both")
    photoless = ~(has_image[parts[1].left] & has_image[parts[1].right])
    left = np.concatenate([parts[0].left, parts[1].left[photoless]])
    right = np.concatenate([parts[0].right, parts[1].right[photoless]])
    scores = np.concatenate([parts[0].scores, parts[1].scores[photoless]])
    order = np.lexsort((right, left))
    return views, Matches(left[order], right[order], scores[order])


def _threshold(vectors: np.ndarray, rows: Rows, members: np.ndarray, cfg: GroupProductsConfig) -> float:
    """Return the threshold that keeps the wanted precision for validation listings among all; 2.0 if none does."""
    queries = np.flatnonzero(rows.in_validation[members])
    if not len(queries) or len(members) < 2:
        return NEVER_AUTO
    neighbours = min(cfg.matching.neighbours, len(members) - 1)
    scores, found = all_neighbours(vectors, neighbours, queries, cfg.search.exact_rows)
    retrieved = score_neighbours(queries, scores, found, rows.groups[members])
    return match_threshold(retrieved, cfg.matching.precision, cfg.matching.min_pairs)


def _match(vectors: np.ndarray, threshold: float, cfg: GroupProductsConfig) -> Matches:
    left, right, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    if len(vectors) > 1 and threshold < NEVER_AUTO:
        neighbours = min(cfg.matching.neighbours, len(vectors) - 1)
        blocks = neighbour_blocks(vectors, neighbours, None, cfg.search.block_rows, cfg.search.exact_rows)
        for block, block_scores, found in blocks:
            above = (block_scores >= threshold) & (found >= 0)
            left.append(np.repeat(block, above.sum(axis=1)))
            right.append(found[above])
            scores.append(block_scores[above])
    pairs = (np.concatenate(left), np.concatenate(right), np.concatenate(scores))
    return Matches(*mutual_pairs(*pairs, rows=len(vectors)))


def _write(output: Path, rows: Rows, matches: Matches, products: np.ndarray) -> None:
    inside = products[matches.left] == products[matches.right]
    best = np.full(len(products), -np.inf, dtype=np.float32)
    for side in (matches.left, matches.right):
        np.maximum.at(best, side[inside], matches.scores[inside])
    ids = rows.listing_ids.tolist()
    score = [float(value) if np.isfinite(value) else None for value in best]
    write_products(ids, [ids[index] for index in products], score, output)
    pairs = pa.table(
        {
            "left": pa.array([ids[index] for index in matches.left], pa.string()),
            "right": pa.array([ids[index] for index in matches.right], pa.string()),
            "score": pa.array(matches.scores.astype(np.float32), pa.float32()),
        }
    )
    pq.write_table(pairs, output / "matches.parquet")
