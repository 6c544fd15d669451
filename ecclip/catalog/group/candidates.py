"""Which pairs of listings are compared: those that share a bucket of few, one of them new or changed."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F

from ecclip.catalog.group.evidence import EvidenceConfig

_CODES, _KEYS, _LOOKS = 0, 1, 2


def candidates(cfg: EvidenceConfig, described: DataFrame, oversized: Observation) -> DataFrame:
    """Return ``left, right, coded``: pairs to compare, and whether they share a model code of few titles.

    ``described`` has a column ``fresh``: a bucket in which nothing is new or changed is left alone, and a pair of two
    unchanged listings is not compared again. A bucket above its cap is left out and counted by ``oversized``; sizes
    are counted over a sorted stream before a bucket is held in memory.
    """
    unnamed = (F.size("numbers") == 0).alias("unnamed")
    entries = F.concat(*[_entries(name, kind) for name, kind in (("codes", 0), ("keys", 1), ("looks", 2))])
    keys = described.select("listing_id", "fresh", unnamed, F.explode(entries).alias("entry"))
    keys = keys.select("listing_id", "fresh", "unnamed", "entry.kind", "entry.bucket")
    bucket = Window.partitionBy("bucket", "kind")
    sized = keys.withColumns(
        {
            "size": F.count("*").over(bucket),
            "any_fresh": F.max("fresh").over(bucket),
            "any_unnamed": F.max("unnamed").over(bucket),
            "first": F.min("listing_id").over(bucket),
        }
    )
    sized = sized.where((F.col("size") > 1) & F.col("any_fresh") & ((F.col("kind") != _LOOKS) | F.col("any_unnamed")))
    cap = F.when(F.col("kind") == _CODES, F.lit(cfg.code_listings)).otherwise(F.lit(cfg.bucket_cap))
    large = F.col("size") > cap
    firsts = F.count(F.when(large & (F.col("first") == F.col("listing_id")), F.lit(1)))
    sized = sized.observe(oversized, firsts.alias("buckets"))
    member = F.struct("listing_id", "fresh", "unnamed")
    members = sized.where(~large).groupBy("bucket", "kind").agg(F.sort_array(F.collect_list(member)).alias("members"))
    return _pairs(members)


def _entries(name: str, kind: int) -> Column:
    buckets = F.array_distinct(name)
    return F.transform(buckets, lambda bucket: F.struct(F.lit(kind).alias("kind"), bucket.alias("bucket")))


def _pairs(members: DataFrame) -> DataFrame:
    left = members.select("kind", "members", F.posexplode("members").alias("place", "left"))
    right = F.explode(F.slice("members", F.col("place") + 2, F.size("members"))).alias("right")
    both = left.select("kind", "left", right)
    wanted = (F.col("left.fresh") | F.col("right.fresh")) & (
        (F.col("kind") != _LOOKS) | F.col("left.unnamed") | F.col("right.unnamed")
    )
    pairs = both.where(wanted).select(
        F.col("left.listing_id").alias("left"),
        F.col("right.listing_id").alias("right"),
        (F.col("kind") == _CODES).alias("coded"),
    )
    return pairs.groupBy("left", "right").agg(F.max("coded").alias("coded"))
