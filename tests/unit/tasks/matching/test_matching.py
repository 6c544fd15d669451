"""Products against what they promise; candidates and evidence against plain loops; measures against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from title_rows import title_rows

from ecclip.tasks import EvaluateConfig, SearchConfig
from ecclip.tasks.matching.candidates import blocking_pairs, joined, neighbour_pairs
from ecclip.tasks.matching.described import describe_listings
from ecclip.tasks.matching.evidence import NAMES, add_context, pair_evidence
from ecclip.tasks.matching.products import cluster
from ecclip.tasks.matching.report import FoundProducts, report_matching
from ecclip.tasks.report.findings import Findings


def unit(rows: int, width: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def of_groups(groups: np.ndarray, noise: float) -> np.ndarray:
    vectors = unit(int(groups.max()) + 1, 8)[groups] + noise * unit(len(groups), 8, seed=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nearest(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return similarities and neighbours by a matrix of all similarities, equal ones in the order of their rows."""
    similarity = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarity, order, axis=1), order


def pairs_of(left: np.ndarray, right: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(left.tolist(), right.tolist(), strict=True))


@pytest.mark.parametrize("block_rows", [1, 64, 1000])
@pytest.mark.parametrize("rows", [203, 3])
def test_the_neighbours_of_every_block_are_those_of_a_whole_matrix(block_rows: int, rows: int) -> None:
    vectors, k = unit(rows), min(9, rows - 1)
    queries = np.arange(0, rows, 2)
    found = neighbour_pairs(vectors, np.arange(rows) * 3, queries * 3, k, SearchConfig(block_rows=block_rows))
    of_queries = [(query, int(other)) for query in queries for other in nearest(vectors, k)[1][query]]
    assert pairs_of(*found) == sorted({(min(pair) * 3, max(pair) * 3) for pair in of_queries})


def test_a_listing_is_not_its_own_neighbour_among_equal_ones() -> None:
    every = np.arange(30)
    left, right = neighbour_pairs(np.resize(unit(1), (30, 16)), every, every, 5, SearchConfig())
    assert (left < right).all()
    assert np.bincount(np.append(left, right), minlength=30).min() >= 5


def test_the_inverted_file_finds_nearly_all_and_twice_the_same() -> None:
    centres, chance = unit(40, seed=1), np.random.default_rng(0)
    vectors = np.repeat(centres, 75, axis=0) + 0.1 * chance.normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    every = np.arange(3000)
    exact, found, again = (
        set(pairs_of(*neighbour_pairs(vectors, every, every, 5, SearchConfig(exact_rows=rows))))
        for rows in (3000, 999, 999)
    )
    assert len(exact & found) > 0.95 * len(exact)
    assert found == again


def row(title: str, **more: object) -> dict[str, object]:
    names = ("description", "brand", "category", "attributes", "price", "currency", "phash")
    return {"title": title, **dict.fromkeys(names), **more}


ROWS = [
    row("Acme Orbit 513 kettle", brand="Acme", price=30.0, currency="EUR", phash="ff00ff00ff00ff00"),
    row("orbit513 kettle by acme", price=33.0, currency="EUR", phash="ff00ff00ff00ff0f"),
    row("Acme Orbit 772 kettle", brand="acme", price=30.0, currency="USD"),
    row("Borea blue shirt", brand="Borea", attributes=[("color", "blue")]),
    row("Borea red shirt", brand="Borea", attributes=[("color", "red")]),
    row(""),
]


def test_evidence_is_what_it_says_and_does_not_depend_on_the_order_of_a_pair() -> None:
    listings = describe_listings(ROWS)
    left, right = np.array(list(itertools.combinations(range(len(ROWS)), 2))).T
    cosines = {"text": np.linspace(0, 1, len(left), dtype=np.float32)}
    found = pair_evidence(listings, left, right, cosines)
    assert np.array_equal(found, pair_evidence(listings, right, left, cosines), equal_nan=True)
    said = {
        pair: dict(zip(NAMES, values.tolist(), strict=True))
        for pair, values in zip(pairs_of(left, right), found, strict=True)
    }
    assert said[0, 1]["model in the other title"] == 1.0, "orbit 513 and orbit513 are one model"
    assert said[0, 1]["photo distance"] == 4
    assert said[0, 1]["price ratio"] == pytest.approx(1.1)
    assert said[0, 1]["brand in the other title"] == 1.0
    assert said[0, 2]["brand agrees"] == 1.0
    assert np.isnan(said[0, 2]["price ratio"]), "of two currencies"
    assert said[0, 2]["models of either side"] == 1
    assert (said[3, 4]["shared facts"], said[3, 4]["facts that differ"]) == (1, 1)
    assert said[0, 1]["text cosine"] == 0
    assert np.isnan([said[0, 1]["image cosine"], said[0, 5]["title containment"], said[0, 3]["photo distance"]]).all()


def test_context_is_how_far_a_pair_is_above_the_best_other_pair_of_its_listings() -> None:
    chance = np.random.default_rng(0)
    left, right = np.array([(a, b) for a, b in itertools.combinations(range(12), 2) if chance.random() < 0.4]).T
    evidence = chance.random((len(left), len(NAMES))).astype(np.float32)
    found = add_context(evidence, left, right, 12)
    values = evidence[:, NAMES.index("title similarity")]
    for place, pair in enumerate(pairs_of(left, right)):
        others = [
            max((values[n] for n, one in enumerate(pairs_of(left, right)) if end in one and n != place), default=0.0)
            for end in pair
        ]
        margins = sorted(values[place] - other for other in others)
        assert found[place, len(NAMES) : len(NAMES) + 2].tolist() == pytest.approx(margins, abs=1e-6)


def test_blocks_are_those_of_plain_loops_and_large_ones_are_left_out() -> None:
    titles = [f"Maker{number % 7} Model {number // 3 + 100} lamp" for number in range(60)]
    listings = describe_listings([row(title) for title in titles])
    expected = set()
    named = [bool(models) for models in listings.models]
    for keys, loose in ((listings.keys, False), (listings.loose_keys, True)):
        for key in {key for own in keys for key in own}:
            block = [number for number, own in enumerate(keys) if key in own]
            pairs = itertools.combinations(block, 2) if len(block) <= 5 else ()
            expected |= {pair for pair in pairs if not loose or not all(named[end] for end in pair)}
    assert pairs_of(*blocking_pairs(listings, 5)) == sorted(expected)
    assert len(expected) > 20


def test_pairs_are_joined_once_in_order() -> None:
    one, other = (np.array([3, 0, 2]), np.array([1, 4, 2])), (np.array([1, 4]), np.array([3, 2]))
    assert pairs_of(*joined([one, other], 5)) == [(0, 4), (1, 3), (2, 4)]


def clustered(*matches: tuple[int, int], groups: list[int] | None = None, count: int = 6, size: int = 50) -> list[int]:
    """Cluster ``count`` listings by matches, best first."""
    left, right = np.array(matches, dtype=np.int64).reshape(-1, 2).T
    known = np.arange(count) if groups is None else np.array(groups)
    return cluster(left, right, -np.arange(len(matches), dtype=float), known, size).tolist()


def test_clear_products_are_found_whole_and_named_by_their_smallest_member() -> None:
    assert clustered((0, 2), (1, 3), (2, 4), (0, 4)) == [0, 1, 0, 1, 0, 5]


def test_a_chain_of_look_alikes_does_not_become_one_product() -> None:
    products = clustered(*itertools.pairwise(range(9)), count=9)
    assert max(products.count(product) for product in products) <= 3
    assert len(set(products)) < 9


def test_no_product_outgrows_the_limit() -> None:
    products = clustered(*itertools.combinations(range(20), 2), count=20, size=6)
    assert max(products.count(product) for product in products) == 6


def test_known_groups_stay_together_and_join_where_half_of_the_smaller_one_matches() -> None:
    groups = [7, 7, 7, 5, 5, 5, 5]
    assert clustered(groups=groups, count=7) == [0, 0, 0, 3, 3, 3, 3]
    assert clustered((0, 3), groups=groups, count=7) == [0, 0, 0, 3, 3, 3, 3]
    assert clustered((0, 3), (0, 4), (0, 5), groups=groups, count=7) == [0, 0, 0, 3, 3, 3, 3]
    assert clustered((0, 3), (1, 3), groups=groups, count=7) == [0] * 7


def judged(
    vectors: np.ndarray, groups: np.ndarray, test: np.ndarray, **settings: dict[str, float]
) -> tuple[Findings, FoundProducts | None]:
    """Return what is found of listings that have titles alone: those of ``test``, the others for validation."""
    rows = title_rows(vectors, np.where(test, "test", "validation"), groups)
    findings = Findings()
    cfg = EvaluateConfig.model_validate({"bootstrap_rounds": 20, **settings})
    return findings, report_matching(rows, "text", cfg, findings)


def test_retrieval_measures_equal_plain_loops() -> None:
    groups = np.random.default_rng(1).integers(0, 20, 60)
    vectors = of_groups(groups, 0.9)
    metrics = judged(vectors, groups, groups % 2 == 0, matching={"neighbours": 12})[0].metrics
    _, found = nearest(vectors, 12)
    hits: dict[int, list[bool]] = {1: [], 5: [], 10: []}
    precisions = []
    for query in np.flatnonzero(groups % 2 == 0):
        relevant = int((groups == groups[query]).sum()) - 1
        right = [bool(groups[index] == groups[query]) for index in found[query]]
        if relevant:
            for k, of in hits.items():
                of.append(any(right[:k]))
            precisions.append(sum(sum(right[: rank + 1]) / (rank + 1) for rank in range(12) if right[rank]) / relevant)
    for k, of in hits.items():
        assert metrics[f"matching/text/recall@{k}"] == pytest.approx(np.mean(of), abs=1e-6)
    assert 0 < np.mean(hits[1]) < np.mean(hits[5]) < 1
    assert metrics["matching/text/mean_average_precision"] == pytest.approx(np.mean(precisions), abs=1e-6)


def test_average_precision_of_a_full_ranking_equals_scikit_learn() -> None:
    vectors, groups = unit(30, 4), np.random.default_rng(1).integers(0, 6, 30)
    metrics = judged(vectors, groups, np.ones(30, bool), matching={"neighbours": 29})[0].metrics
    scores, found = nearest(vectors, 29)
    expected = [
        average_precision_score(groups[found[query]] == groups[query], scores[query])
        for query in range(30)
        if (groups == groups[query]).sum() > 1
    ]
    assert metrics["matching/text/mean_average_precision"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_pairs_at_the_threshold_and_products_are_judged_as_by_plain_loops() -> None:
    groups = (np.arange(90) // 3 + 29) % 30  # the last group stands before the first one
    vectors = of_groups(groups, 0.5)
    vectors[2] = -vectors[1]  # a product of its own
    test = groups % 2 == 0
    findings, clustered = judged(vectors, groups, test, matching={"neighbours": 10, "precision": 0.7, "min_pairs": 5})
    metrics = findings.metrics
    scores, found = nearest(vectors, 10)
    above = scores[test] >= metrics["matching/text/threshold"] - 1e-6
    right = above & (groups[found] == groups[:, None])[test]
    assert metrics["matching/text/precision_at_threshold"] == pytest.approx(right.sum() / above.sum(), abs=1e-6)
    assert metrics["matching/text/recall_at_threshold"] == pytest.approx(right.sum() / (2 * test.sum()), abs=1e-6)
    assert clustered is not None
    given = relevant = both = 0
    for one, other in itertools.permutations(range(90), 2):
        if test[one]:
            same_product = clustered.products[one] == clustered.products[other]
            same_group = groups[one] == groups[other]
            given, relevant, both = given + same_product, relevant + same_group, both + (same_product and same_group)
    assert metrics["clustering/text/precision"] == pytest.approx(both / given, abs=1e-6)
    assert metrics["clustering/text/recall"] == pytest.approx(both / relevant, abs=1e-6)
    assert metrics["clustering/text/f1"] == pytest.approx(2 * both / (given + relevant), abs=1e-6)
    assert 0 < both < min(given, relevant)
