"""Blocked matching against brute force; products against what they promise; measures against plain loops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score
from title_rows import title_rows

from ecclip.core import Report, digest_of
from ecclip.formats.embeddings import Embeddings, Origin, write_embeddings, write_origin
from ecclip.formats.snapshot import LISTINGS, mark_snapshot
from ecclip.tasks import EvaluateConfig, GroupProductsConfig, group_products
from ecclip.tasks.matching.report import FoundProducts, report_matching
from ecclip.tasks.report.findings import Findings

NEVER = 2.0  # above every score
Grouped = Callable[..., tuple[Path, Report]]


def unit(rows: int, width: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def of_groups(groups: np.ndarray, noise: float) -> np.ndarray:
    vectors = unit(int(groups.max()) + 1, 8)[groups] + noise * unit(len(groups), 8, seed=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def grouped(tmp_path: Path) -> Grouped:
    """Return the stage's output and report for listings of these titles and photos; one without photos by default."""
    numbers = itertools.count()

    def run(
        text: np.ndarray,
        image: np.ndarray | None = None,
        groups: list[int] | None = None,
        split: list[str] | None = None,
        **settings: dict[str, float],
    ) -> tuple[Path, Report]:
        folder, rows = tmp_path / str(next(numbers)), len(text)
        ids = [f"{index:05d}" for index in range(rows)]
        columns = {
            "listing_id": ids,
            "title": ids,
            "group_id": [str(group) for group in groups or range(rows)],
            "split": split or ["train"] * rows,
        }
        (folder / "snapshot" / LISTINGS).mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / "snapshot" / LISTINGS / "part-00000.parquet")
        mark_snapshot(folder / "snapshot")
        photos = np.full_like(text, np.nan) if image is None else image
        write_embeddings(Embeddings(ids, photos, text), folder / "embedded")
        write_origin(Origin(digest_of(folder / "snapshot"), "t" * 64, "w" * 64), folder / "embedded")
        cfg = GroupProductsConfig.model_validate({"keep_known_groups": groups is not None, **settings})
        report = group_products(cfg, folder / "snapshot", folder / "embedded", folder / "products")
        return folder / "products", report

    return run


def matches_of(output: Path) -> dict[tuple[int, int], float]:
    rows = pq.read_table(output / "matches.parquet").to_pylist()
    found = {(int(row["left"]), int(row["right"])): row["score"] for row in rows}
    assert list(found) == sorted(found)
    return found


def products_of(output: Path) -> list[int]:
    return [int(product) for product in pq.read_table(output / "products.parquet")["product_id"].to_pylist()]


def nearest(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return similarities and neighbours by a matrix of all similarities, equal ones in the order of their rows."""
    similarity = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarity, order, axis=1), order


def brute_force(vectors: np.ndarray, k: int) -> dict[tuple[int, int], float]:
    """Return the pairs of which each is among the other's ``k`` nearest, with their similarity."""
    scores, found = nearest(vectors, k)
    directed = {
        (row, int(other)): float(score)
        for row in range(len(vectors))
        for other, score in zip(found[row], scores[row], strict=True)
    }
    return {(a, b): score for (a, b), score in directed.items() if a < b and (b, a) in directed}


@pytest.mark.parametrize("block_rows", [1, 7, 64, 1000])
def test_blocked_matches_equal_brute_force(grouped: Grouped, block_rows: int) -> None:
    vectors = unit(203)
    output, _ = grouped(
        vectors, threshold={"text": -1.0}, matching={"neighbours": 9}, search={"block_rows": block_rows}
    )
    assert matches_of(output) == pytest.approx(brute_force(vectors, 9), abs=1e-5)


@pytest.mark.parametrize(("rows", "kinds"), [(30, 1), (3, 3)], ids=["equal ones", "fewer than neighbours"])
def test_a_listing_is_not_its_own_neighbour(grouped: Grouped, rows: int, kinds: int) -> None:
    vectors = np.resize(unit(kinds), (rows, 16))
    output, _ = grouped(vectors, threshold={"text": -1.0}, matching={"neighbours": 5})
    assert matches_of(output) == pytest.approx(brute_force(vectors, min(5, rows - 1)), abs=1e-5)


def test_the_inverted_file_finds_nearly_all_and_twice_the_same(grouped: Grouped) -> None:
    centres, chance = unit(40, seed=1), np.random.default_rng(0)
    vectors = np.repeat(centres, 75, axis=0) + 0.1 * chance.normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact, found, again = (
        matches_of(
            grouped(vectors, threshold={"text": -1.0}, matching={"neighbours": 5}, search={"exact_rows": rows})[0]
        )
        for rows in (3000, 999, 999)
    )
    assert len(exact.keys() & found.keys()) > 0.95 * len(exact)
    assert found == again


def test_the_threshold_is_the_smallest_that_keeps_the_precision_among_validation_listings(grouped: Grouped) -> None:
    groups = np.arange(60) // 3
    vectors = of_groups(groups, 0.5)
    split = np.where(groups % 2 == 0, "validation", "train")
    scores, found = nearest(vectors, 8)
    asked = split == "validation"
    pairs = sorted(zip(scores[asked].ravel(), (groups[found] == groups[:, None])[asked].ravel(), strict=True))[::-1]
    right = np.cumsum([right for _, right in pairs])
    kept = [place for place in range(5, len(pairs) + 1) if right[place - 1] / place >= 0.7]
    _, report = grouped(
        vectors,
        groups=groups.tolist(),
        split=split.tolist(),
        matching={"precision": 0.7, "min_pairs": 5, "neighbours": 8},
    )
    assert report.detail["thresholds"]["text"] == pytest.approx(pairs[kept[-1] - 1][0], abs=1e-5)
    assert 5 < kept[-1] < len(pairs)


def on_a_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_clear_products_are_found_whole_and_named_by_their_smallest_member(grouped: Grouped) -> None:
    vectors = on_a_circle(0, 90, 1, 91, 2, 180)
    output, _ = grouped(vectors, vectors, threshold={"both": 0.99, "text": NEVER})
    assert products_of(output) == [0, 1, 0, 1, 0, 5]


def test_a_chain_of_look_alikes_does_not_become_one_product(grouped: Grouped) -> None:
    chain = on_a_circle(*range(0, 90, 10))
    output, _ = grouped(chain, chain, threshold={"both": float(np.cos(np.radians(10.5))), "text": NEVER})
    products = products_of(output)
    for product in set(products):
        inside = [index for index, found in enumerate(products) if found == product]
        assert all(chain[a] @ chain[b] >= np.cos(np.radians(25)) for a, b in itertools.combinations(inside, 2))
    assert 1 < len(set(products)) < len(chain)


def test_no_product_outgrows_the_limit(grouped: Grouped) -> None:
    vectors = np.repeat(unit(1), 20, axis=0)
    output, _ = grouped(vectors, vectors, threshold={"both": 0.9, "text": NEVER}, matching={"max_product_size": 6})
    products = products_of(output)
    assert max(products.count(product) for product in products) <= 6
    assert len(set(products)) < 20


def test_known_groups_stay_together(grouped: Grouped) -> None:
    vectors = on_a_circle(0, 90, 180, 270)
    output, _ = grouped(vectors, vectors, groups=[0, 1, 2, 0], threshold={"both": 0.99, "text": NEVER})
    assert products_of(output) == [0, 1, 2, 0]


def test_a_listing_without_a_photo_is_joined_by_its_title(grouped: Grouped) -> None:
    text, image = on_a_circle(0, 1, 90), on_a_circle(0, 0, 90)
    image[1] = np.nan
    output, _ = grouped(text, image, threshold={"both": 0.95, "text": 0.95})
    assert products_of(output) == [0, 0, 2]


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
