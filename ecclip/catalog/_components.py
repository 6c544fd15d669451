"""Connected components in Spark by alternating large and small stars (Kiveris et al., 2014)."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ecclip.core import ServiceError

_MAX_ROUNDS = 50


def components(edges: DataFrame) -> DataFrame:
    """Return ``node, component`` for every node of ``edges`` (left, right): the component is its smallest node.

    Each round joins every node's larger neighbours to its smallest one, then its smaller ones; the number of rounds
    grows with the logarithm of the longest chain, and the result does not depend on the order of edges.
    """
    stars = edges.select("left", "right").distinct().localCheckpoint()
    before = None
    for _ in range(_MAX_ROUNDS):
        stars = _small_star(_large_star(stars)).localCheckpoint()
        state = stars.agg(F.count("*"), F.sum(F.xxhash64("left", "right").cast("decimal(38,0)"))).first()
        if state == before:
            return _labels(stars)
        before = state
    raise ServiceError("the components of the groups did not settle", value=_MAX_ROUNDS)


def _large_star(edges: DataFrame) -> DataFrame:
    both = edges.union(edges.select(F.col("right"), F.col("left"))).toDF("node", "neighbour")
    smallest = both.groupBy("node").agg(F.min("neighbour").alias("low"))
    smallest = smallest.select("node", F.least("node", "low").alias("low"))
    larger = both.where(F.col("neighbour") > F.col("node")).join(smallest, "node")
    return larger.select(F.col("low").alias("left"), F.col("neighbour").alias("right")).distinct()


def _small_star(edges: DataFrame) -> DataFrame:
    downward = edges.select(F.greatest("left", "right").alias("node"), F.least("left", "right").alias("neighbour"))
    smallest = downward.groupBy("node").agg(F.min("neighbour").alias("low"))
    joined = downward.join(smallest, "node")
    linked = joined.where(F.col("neighbour") != F.col("low")).select("low", "neighbour")
    return linked.union(smallest.select("low", "node")).toDF("left", "right").distinct()


def _labels(stars: DataFrame) -> DataFrame:
    leaves = stars.select(F.col("right").alias("node"), F.col("left").alias("component"))
    centres = stars.select(F.col("left").alias("node"), F.col("left").alias("component"))
    return leaves.union(centres).distinct()
