"""Connected components in Spark against union-find, and group ids that stay."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from cleaned import group_night, listing
from pyspark.sql import SparkSession

from ecclip.catalog.group.components import components
from ecclip.catalog.spark.session import spark_session

pytestmark = [pytest.mark.spark, pytest.mark.heavy]


@pytest.fixture(scope="module")
def spark() -> SparkSession:
    return spark_session(2)


def twin(edges: list[tuple[str, str]]) -> dict[str, str]:
    parent = {node: node for edge in edges for node in edge}

    def root(node: str) -> str:
        while parent[node] != node:
            node = parent[node]
        return node

    for left, right in edges:
        low, high = sorted([root(left), root(right)])
        parent[high] = low
    return {node: root(node) for node in parent}


@pytest.mark.parametrize("seed", range(3))
def test_components_are_those_of_union_find(spark: SparkSession, seed: int) -> None:
    chance = random.Random(seed)
    nodes = [f"n{number:02d}" for number in range(60)]
    edges = [(chance.choice(nodes), chance.choice(nodes)) for _ in range(38)]
    edges = [edge for edge in edges if edge[0] != edge[1]]
    if seed == 0:  # a long chain is what a slow algorithm needs many rounds for
        edges = list(itertools.pairwise(nodes))
        chance.shuffle(edges)
    found = components(spark.createDataFrame(edges, "left string, right string")).collect()
    assert {row["node"]: row["component"] for row in found} == twin(edges)
    assert len(found) == len({row["node"] for row in found})


def test_no_edges_make_no_components(spark: SparkSession) -> None:
    assert components(spark.createDataFrame([], "left string, right string")).collect() == []


def night(folder: Path, groups: dict[str, str], previous: Path | None = None) -> dict[str, str]:
    """Group a night whose listings have their group as catalog_id; return listing -> group id."""
    return group_night(
        folder, [listing(name, f"Thing {name}", catalog_id=one) for name, one in groups.items()], previous
    )


def test_group_ids_stay_when_listings_come_go_merge_and_part(tmp_path: Path) -> None:
    first = night(tmp_path / "1", {"a": "x", "b": "x", "c": "x", "d": "y", "e": "y", "f": "z"})
    before = tmp_path / "1" / "snapshot"
    # a is gone, g joins x; y parts; f stays; h is new
    second = night(tmp_path / "2", {"b": "x", "c": "x", "g": "x", "d": "y", "e": "other", "f": "z", "h": "new"}, before)
    assert second["b"] == second["c"] == second["g"] == first["a"]
    assert second["d"] == first["d"]
    assert second["e"] not in set(first.values())
    assert second["f"] == first["f"]
    (tmp_path / "2" / "snapshot" / "snapshot.json").unlink()  # as snapshots were before they named their schema
    # a comes back alone: the id made of its name is still carried by b, so it gets another
    third = night(
        tmp_path / "3", {**{k: k for k in "ade"}, "b": "x", "c": "x", "f": "z", "g": "z"}, tmp_path / "2" / "snapshot"
    )
    assert third["b"] == third["c"] == first["a"]
    assert third["a"] != third["b"]
    assert third["g"] == third["f"]
    assert third["f"] == min(first["f"], second["g"]) or third["f"] == first["f"]
    assert len(set(third.values())) == 5
