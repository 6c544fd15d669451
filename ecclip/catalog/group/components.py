"""Connected components in Spark by alternating large and small stars (Kiveris et al., 2014)."""

from __future__ import annotations

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ecclip.core import ServiceError

_MAX_ROUNDS = 50  # rounds grow with the logarithm of the longest chain: this many mean a fault


def components(edges: DataFrame) -> DataFrame:
    """Return ``node, component`` for every node of ``edges`` (left, right): the component is its smallest node.

    Each round joins every node's larger neighbours to its smallest one, then its smaller ones; the number of rounds
    grows with the logarithm of the longest chain, and the result does not depend on the order of edges.
    """
    stars = edges.select("left", "right")
    before = None
    for _ in range(_MAX_ROUNDS):
        # without a checkpoint the plan of a round would hold the plans of all rounds before
        stars = _small_star(_large_star(stars)).localCheckpoint(storageLevel=StorageLevel.DISK_ONLY)
        # a star forest comes back as it is; until then every round changes an edge
        state = stars.agg(F.count("*"), F.sum(F.xxhash64("left", "right").cast("decimal(38,0)"))).first()
        if state == before:
            return _labels(stars)
        before = state
    raise ServiceError(
        "the components of the groups did not converge",
        value=_MAX_ROUNDS,
        next_step="report this with the night's edges: a fault of the algorithm, not of the data",
    )


def _large_star(edges: DataFrame) -> DataFrame:
    both = edges.union(edges.select("right", "left")).toDF("node", "neighbour")
    around = both.groupBy("node").agg(F.collect_set("neighbour").alias("neighbours"))
    low = F.least("node", F.array_min("neighbours"))
    larger = F.filter("neighbours", lambda neighbour: neighbour > F.col("node"))
    return around.select(low.alias("left"), F.explode(larger).alias("right"))


def _small_star(edges: DataFrame) -> DataFrame:
    downward = edges.select(F.greatest("left", "right").alias("node"), F.least("left", "right").alias("neighbour"))
    around = downward.groupBy("node").agg(F.collect_set("neighbour").alias("neighbours"))
    low = F.array_min("neighbours")
    others = F.array_append(F.filter("neighbours", lambda neighbour: neighbour != low), F.col("node"))
    return around.select(low.alias("left"), F.explode(others).alias("right"))


def _labels(stars: DataFrame) -> DataFrame:
    leaves = stars.select(F.col("right").alias("node"), F.col("left").alias("component"))
    return leaves.union(stars.select("left", "left")).distinct()
