"""Blocking: only listings that share a blocking key, one of them new or changed, are compared (Christen, 2012)."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F

from ecclip.catalog.group.evidence import EvidenceConfig

_CODE, _KEY, _LOOSE_KEY = 0, 1, 2  # kinds of blocking keys


def candidates(cfg: EvidenceConfig, described: DataFrame, oversized: Observation) -> DataFrame:
    """Return ``left, right, coded``: pairs to compare, and whether they share a model code of few titles.

    ``described`` has a column ``fresh``: a block (the listings of one blocking key) in which nothing is new or changed
    is skipped, and a pair of two unchanged listings is not compared again. A block above its cap is left out and
    counted by ``oversized``; sizes are counted over sorted rows before a block is held in memory.
    """
    unnamed = (F.size("numbers") == 0).alias("unnamed")
    entries = F.concat(*[_entries(name, kind) for name, kind in (("codes", 0), ("keys", 1), ("loose_keys", 2))])
    keys = described.select("listing_id", "fresh", unnamed, F.explode(entries).alias("entry"))
    keys = keys.select("listing_id", "fresh", "unnamed", "entry.kind", "entry.blocking_key")
    block = Window.partitionBy("blocking_key", "kind")
    sized = keys.withColumns(
        {
            "size": F.count("*").over(block),
            "any_fresh": F.max("fresh").over(block),
            "any_unnamed": F.max("unnamed").over(block),
            "first": F.min("listing_id").over(block),
        }
    )
    sized = sized.where(
        (F.col("size") > 1) & F.col("any_fresh") & ((F.col("kind") != _LOOSE_KEY) | F.col("any_unnamed"))
    )
    cap = F.when(F.col("kind") == _CODE, F.lit(cfg.same_code.max_listings)).otherwise(F.lit(cfg.max_block_size))
    large = F.col("size") > cap
    firsts = F.count(F.when(large & (F.col("first") == F.col("listing_id")), F.lit(1)))
    sized = sized.observe(oversized, firsts.alias("blocks"))
    member = F.struct("listing_id", "fresh", "unnamed")
    members = (
        sized.where(~large).groupBy("blocking_key", "kind").agg(F.sort_array(F.collect_list(member)).alias("members"))
    )
    return _pairs(members)


def _entries(name: str, kind: int) -> Column:
    keys = F.array_distinct(name)
    return F.transform(keys, lambda key: F.struct(F.lit(kind).alias("kind"), key.alias("blocking_key")))


def _pairs(members: DataFrame) -> DataFrame:
    left = members.select("kind", "members", F.posexplode("members").alias("place", "left"))
    right = F.explode(F.slice("members", F.col("place") + 2, F.size("members"))).alias("right")
    both = left.select("kind", "left", right)
    wanted = (F.col("left.fresh") | F.col("right.fresh")) & (
        (F.col("kind") != _LOOSE_KEY) | F.col("left.unnamed") | F.col("right.unnamed")
    )
    pairs = both.where(wanted).select(
        F.col("left.listing_id").alias("left"),
        F.col("right.listing_id").alias("right"),
        (F.col("kind") == _CODE).alias("coded"),
    )
    return pairs.groupBy("left", "right").agg(F.max("coded").alias("coded"))
