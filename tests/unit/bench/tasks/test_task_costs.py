"""What tasks cost: the synthetic catalog is one, searches are compared with the truth, the heads are a small share."""

from __future__ import annotations

import numpy as np
import pytest

from ecclip.bench import new_result
from ecclip.bench.tasks import costs


def test_listings_of_a_product_are_nearest_to_each_other() -> None:
    vectors = costs.catalog(400)
    similarity = vectors @ vectors.T - 2 * np.eye(400)
    same = similarity.argmax(axis=1) // 4 == np.arange(400) // 4
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert same.mean() > 0.9


def test_heads_decisions_and_reader_are_measured_beside_the_towers_on_the_same_listings() -> None:
    result, chance = new_result("ecclip bench costs"), np.random.default_rng(0)
    titles = [" ".join(chance.choice(["wool", "cotton", "slim", "shirt", "mug"], 5)) for _ in range(16)]
    image, text = chance.normal(size=(2, 16, 24)).astype(np.float32)
    costs.enter_answers(result, costs.Spent(2.0, titles, image, text), 16, taught=160, rounds=1)
    shares = {row.what: row.value for row in result.rows if row.what.endswith(", of the towers")}
    assert len(shares) == 4
    assert result.headline["answer_share_described"] == pytest.approx(sum(shares.values()), abs=1e-3)
    told = sum(value for name, value in shares.items() if "descriptions" not in name)
    assert result.headline["answer_share"] == pytest.approx(told, abs=1e-3)


def test_below_the_limit_of_exact_search_every_neighbour_is_found_and_an_inverted_file_misses_some() -> None:
    result = new_result("ecclip bench costs")
    costs.enter_crossover(result, (3000,))
    costs.enter_whole(result, 3000)
    values = {(row.what, row.system): row.value for row in result.rows}
    assert values["matching of 3,000 embeddings: recall of 20 neighbours", "defaults"] == 1
    assert 0.3 < values["recall of 20 neighbours, 3,000 listings", "inverted file"] < 1
    assert result.headline["whole_catalog_recall"] == 1
