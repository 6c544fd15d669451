"""Blocked matching against brute force; products against what they promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ecclip.tasks.matching.neighbours import all_neighbours, mutual_pairs, neighbour_blocks
from ecclip.tasks.matching.pairs import hits_at, match_threshold, mean_average_precision, pairs_at, score_neighbours
from ecclip.tasks.matching.products import View, cluster
from ecclip.tasks.matching.report import cluster_counts


def unit(rows: int, width: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute_force(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    similarity = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarity, order, axis=1), order


@pytest.mark.parametrize("block_rows", [1, 7, 64, 1000])
def test_blocked_neighbours_equal_brute_force(block_rows: int) -> None:
    vectors = unit(203)
    blocks = list(neighbour_blocks(vectors, 9, block_rows=block_rows))
    scores, found = brute_force(vectors, 9)
    assert np.concatenate([rows for rows, _, _ in blocks]).tolist() == list(range(203))
    assert np.concatenate([found for _, _, found in blocks]).tolist() == found.tolist()
    assert np.concatenate([scores for _, scores, _ in blocks]) == pytest.approx(scores, abs=1e-5)


def test_chosen_queries_find_what_all_find() -> None:
    vectors, queries = unit(100), np.array([3, 50, 99, 4])
    scores, found = all_neighbours(vectors, 5)
    some_scores, some = all_neighbours(vectors, 5, queries)
    assert some.tolist() == found[queries].tolist()
    assert some_scores == pytest.approx(scores[queries], abs=1e-5)


def test_a_listing_is_not_its_own_neighbour_among_many_equal_ones() -> None:
    vectors = np.repeat(unit(1), 30, axis=0)
    _, found = all_neighbours(vectors, 5)
    assert (found != np.arange(30)[:, None]).all()
    assert (np.diff(found, axis=1) > 0).all()  # equal scores come in index order


def test_fewer_others_than_neighbours_leave_no_entry() -> None:
    scores, found = all_neighbours(unit(3), 5)
    assert (found[:, 2:] == -1).all()
    assert np.isneginf(scores[:, 2:]).all()
    assert sorted(found[0, :2].tolist()) == [1, 2]


def test_the_inverted_file_finds_nearly_all_and_twice_the_same() -> None:
    centres, chance = unit(40, seed=1), np.random.default_rng(0)
    vectors = np.repeat(centres, 75, axis=0) + 0.1 * chance.normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    _, exact = all_neighbours(vectors, 5)
    _, found = all_neighbours(vectors, 5, exact_rows=1000)
    _, again = all_neighbours(vectors, 5, exact_rows=1000)
    hit = [len(set(one) & set(other)) / 5 for one, other in zip(exact.tolist(), found.tolist(), strict=True)]
    assert np.mean(hit) > 0.95
    assert (found == again).all()


def test_mutual_pairs_equal_a_plain_loop() -> None:
    chance = np.random.default_rng(0)
    edges = sorted({(int(a), int(b)) for a, b in chance.integers(0, 20, (150, 2)) if a != b})
    left, right = np.array(edges).T
    weight = {edge: float(chance.random()) for edge in edges}
    scores = np.array([weight[edge] for edge in edges])
    got_left, got_right, got_scores = mutual_pairs(left, right, scores, 20)
    expected = [(a, b, weight[a, b]) for a, b in edges if a < b and (b, a) in weight]
    assert list(zip(got_left.tolist(), got_right.tolist(), got_scores.tolist(), strict=True)) == expected
    assert expected


def judged(rows: int = 60, k: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vectors, groups = unit(rows, 4), np.random.default_rng(1).integers(0, 20, rows)
    return *all_neighbours(vectors, k), groups


def test_retrieval_measures_equal_plain_loops() -> None:
    scores, found, groups = judged()
    retrieved = score_neighbours(np.arange(60), scores, found, groups)
    for query in range(60):
        others = [index for index in range(60) if index != query and groups[index] == groups[query]]
        right = [int(index) in others for index in found[query]]
        assert retrieved.relevant[query] == len(others)
        assert hits_at(retrieved, 3)[query] == float(any(right[:3]))
        precisions = [sum(right[: rank + 1]) / (rank + 1) for rank in range(8) if right[rank]]
        expected = sum(precisions) / max(len(others), 1)
        assert mean_average_precision(retrieved)[query] == pytest.approx(expected)


def test_average_precision_of_a_full_ranking_equals_scikit_learn() -> None:
    vectors, groups = unit(30, 4), np.random.default_rng(1).integers(0, 6, 30)
    scores, found = all_neighbours(vectors, 29)
    retrieved = score_neighbours(np.arange(30), scores, found, groups)
    asked = np.flatnonzero(retrieved.relevant > 0)
    expected = [average_precision_score(retrieved.correct[query], scores[query]) for query in asked]
    assert mean_average_precision(retrieved)[asked] == pytest.approx(expected)


def test_the_match_threshold_keeps_the_precision_and_no_pairs_fail_closed() -> None:
    groups = np.arange(60) // 3
    vectors = unit(20, 8)[groups] + 0.5 * unit(60, 8, seed=1)
    scores, found = all_neighbours(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 8)
    retrieved = score_neighbours(np.arange(60), scores, found, groups)
    threshold = match_threshold(retrieved, 0.7, 5)
    given, right = pairs_at(retrieved, threshold)
    assert right.sum() / given.sum() >= 0.7
    assert given.sum() < np.isfinite(scores).sum()
    assert match_threshold(retrieved.part(np.zeros(60, bool)), 0.7, 5) == 2.0
    assert pairs_at(retrieved, 2.0)[0].sum() == 0


def products_of(vectors: np.ndarray, threshold: float, max_size: int = 50, **more: np.ndarray) -> list[int]:
    scores, found = all_neighbours(vectors, min(20, len(vectors) - 1))
    above = scores >= threshold
    left = np.repeat(np.arange(len(vectors)), scores.shape[1])[above.ravel()]
    pairs = mutual_pairs(left, found[above], scores[above], len(vectors))
    has_image = np.ones(len(vectors), bool)
    return cluster(*pairs, {"both": View(vectors, threshold)}, has_image, max_size, **more).tolist()


def on_a_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_clear_products_are_found_whole_and_named_by_their_smallest_member() -> None:
    assert products_of(on_a_circle(0, 90, 1, 91, 2, 180), 0.99) == [0, 1, 0, 1, 0, 5]


def test_a_chain_of_look_alikes_does_not_become_one_product() -> None:
    chain = on_a_circle(*range(0, 90, 10))
    products = products_of(chain, float(np.cos(np.radians(10.5))))
    for product in set(products):
        inside = [index for index, found in enumerate(products) if found == product]
        assert all(chain[a] @ chain[b] >= np.cos(np.radians(25)) for a, b in itertools.combinations(inside, 2))
    assert 1 < len(set(products)) < len(chain)


def test_no_product_outgrows_the_limit() -> None:
    products = products_of(np.repeat(unit(1), 20, axis=0), 0.9, max_size=6)
    assert max(products.count(product) for product in products) <= 6
    assert len(set(products)) < 20


def test_known_groups_stay_together() -> None:
    known = np.array([0, 1, 2, 0])
    assert products_of(on_a_circle(0, 90, 180, 270), 0.99, known=known) == [0, 1, 2, 0]


def test_a_listing_without_a_photo_is_joined_by_its_title() -> None:
    text, image = on_a_circle(0, 1, 90), on_a_circle(0, 0, 90)
    image[1] = 0
    views = {"both": View(np.concatenate([image, text], 1) / np.sqrt(2), 0.95), "text": View(text, 0.95)}
    pair = (np.array([0]), np.array([1]), np.array([0.99]))
    assert cluster(*pair, views, np.array([True, False, True]), 50).tolist() == [0, 0, 2]


def test_cluster_counts_equal_a_plain_loop() -> None:
    chance = np.random.default_rng(0)
    products, groups = chance.integers(0, 8, 50), chance.integers(0, 8, 50)
    given, relevant, right = cluster_counts(products, groups)
    for index in range(50):
        others = [other for other in range(50) if other != index]
        assert given[index] == sum(products[other] == products[index] for other in others)
        assert relevant[index] == sum(groups[other] == groups[index] for other in others)
        same = [other for other in others if products[other] == products[index] and groups[other] == groups[index]]
        assert right[index] == len(same)
