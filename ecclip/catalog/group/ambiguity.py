"""A listing without a model number that resembles two different models belongs to neither; its evidence is not used."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ecclip.catalog.group.evidence import AMBIGUOUS, NEAR_TITLE, SAME_FACTS


def mark_ambiguous(edges: DataFrame, described: DataFrame) -> DataFrame:
    """Return ``edges`` with the column ``mark``: ``ambiguous`` where similarity is the evidence and it points to two
    models.

    That is so for an edge of a listing without a model number whose look-alikes have no number in common. Duplicates
    are each other's only neighbours (Chaudhuri, Ganti and Motwani, 2005).
    """
    likeness = edges["evidence"].isin(NEAR_TITLE, SAME_FACTS)
    nodes = _ambiguous(edges.where(likeness).select("left", "right"), described)
    marked = edges
    for side in ("left", "right"):
        flag = nodes.select(F.col("listing_id").alias(side), F.lit(True).alias(f"{side}_unclear"))
        marked = marked.join(flag, side, "left")
    unclear = likeness & F.coalesce("left_unclear", "right_unclear", F.lit(False))
    return marked.select("left", "right", "evidence", "weight", F.when(unclear, F.lit(AMBIGUOUS)).alias("mark"))


def _ambiguous(edges: DataFrame, described: DataFrame) -> DataFrame:
    numbers = described.select("listing_id", "numbers")
    ends = edges.union(edges.select("right", "left")).toDF("listing_id", "other").distinct()
    own = numbers.where(F.size("numbers") == 0).select("listing_id")
    others = numbers.where(F.size("numbers") > 0).withColumnRenamed("listing_id", "other")
    ends = ends.join(own, "listing_id", "left_semi").join(others, "other")
    named = ends.groupBy("listing_id").agg(F.count("*").alias("named"))
    agreed = ends.select("listing_id", F.explode("numbers").alias("number")).groupBy("listing_id", "number").count()
    most = agreed.groupBy("listing_id").agg(F.max("count").alias("agreed"))
    return named.join(most, "listing_id").where(F.col("agreed") < F.col("named")).select("listing_id")
