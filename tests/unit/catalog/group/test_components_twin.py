"""Connected components in Spark against union-find, and group ids that stay."""

from __future__ import annotations

import itertools
import random

import pytest
from pyspark.sql import SparkSession

from ecclip.catalog.group.components import components
from ecclip.catalog.group.ids import group_ids
from ecclip.catalog.spark.session import spark_session

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

PLACED, BEFORE = "listing_id string, component string", "listing_id string, group_id string"


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


def night(spark: SparkSession, groups: dict[str, str], before: dict[str, str] | None = None) -> dict[str, str]:
    """Name the groups of a night, given as listing -> any name of its group; return listing -> group id."""
    smallest = {one: min(name for name, own in groups.items() if own == one) for one in groups.values()}
    placed = spark.createDataFrame([(name, smallest[one]) for name, one in groups.items()], PLACED)
    known = None if before is None else spark.createDataFrame(list(before.items()), BEFORE)
    ids = {row["component"]: row["group_id"] for row in group_ids(placed, known).collect()}
    return {name: ids[smallest[one]] for name, one in groups.items()}


def test_group_ids_stay_when_listings_come_go_merge_and_part(spark: SparkSession) -> None:
    first = night(spark, {"a": "x", "b": "x", "c": "x", "d": "y", "e": "y", "f": "z"})
    # a is gone, g joins x; y parts; f stays; h is new
    second = night(spark, {"b": "x", "c": "x", "g": "x", "d": "y", "e": "other", "f": "z", "h": "new"}, first)
    assert second["b"] == second["c"] == second["g"] == first["a"]
    assert second["d"] == first["d"]
    assert second["e"] not in set(first.values())
    assert second["f"] == first["f"]
    # a comes back alone: the id made of its name is still carried by b, so it gets another
    third = night(spark, {**{k: k for k in "ade"}, "b": "x", "c": "x", "f": "z", "g": "z"}, second)
    assert third["b"] == third["c"] == first["a"]
    assert third["a"] != third["b"]
    assert third["g"] == third["f"]
    assert third["f"] == min(first["f"], second["g"]) or third["f"] == first["f"]
    assert len(set(third.values())) == 5
