"""Group: listings of one product, by exact and near duplicates, with ids that stay from night to night."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pyspark.sql import Column, DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F

from ecclip.catalog._components import components
from ecclip.catalog._edges import EvidenceConfig, exact_edges, near_edges
from ecclip.catalog._features import features
from ecclip.catalog._parts import count_rows, count_values, write_parts
from ecclip.catalog._spark import spark_session
from ecclip.core import Counts, stage

_ATTEMPTS = 8


class GroupConfig(EvidenceConfig):
    """Parameters of grouping."""

    parts: int = Field(2, ge=1, description="output files and shuffle partitions")


@stage
def group(cfg: GroupConfig, cleaned: Path, previous: Path, output: Path) -> Counts:
    """Write ``groups/`` (listing_id, group_id: one row a listing) and ``edges-*.parquet`` (the evidence).

    Groups are the connected components of the edges. A group takes over the smallest group id that its members had in
    the previous snapshot and that no other group has a better claim to (the smallest listing of the old group);
    else it gets a new one made from its smallest listing_id.
    """
    spark = spark_session(cfg.parts, cleaned)
    rows = spark.read.parquet(str(cleaned / "listings")).drop("image")
    listings = features(rows, count_rows(cleaned / "listings"), cfg.code_listings).persist()
    listings.count()  # once it is in memory Spark knows how small it is and sends it to the pairs
    oversized = Observation()
    near = near_edges(cfg, listings, oversized)
    edges = output / "edges"
    write_parts(exact_edges(listings).unionByName(near), edges, 1, sort=["left", "right", "evidence"], prefix="edges")
    found = components(spark.read.parquet(str(edges)))
    placed = listings.select("listing_id").join(found.withColumnRenamed("node", "listing_id"), "listing_id", "left")
    placed = placed.withColumn("component", F.coalesce("component", "listing_id")).localCheckpoint()
    ids = _group_ids(placed, _previous_groups(spark, previous))
    write_parts(placed.join(ids, "component").select("listing_id", "group_id"), output / "groups", cfg.parts)
    dropped = int(oversized.get["buckets"])
    listings.unpersist()
    counts = count_values(output / "groups", "group_id")
    return Counts(
        read={"listings": count_rows(output / "groups")},
        written={"groups": len(counts), "edges": count_rows(edges)},
        dropped={"oversized_buckets": dropped} if dropped else {},
        detail={"evidence": count_values(edges, "evidence"), "largest_group": max(counts.values(), default=0)},
    )


def _previous_groups(spark: SparkSession, previous: Path) -> DataFrame | None:
    if not (previous / "manifest.json").is_file():
        return None
    return spark.read.parquet(str(previous / "listings")).select("listing_id", "group_id")


def _group_ids(placed: DataFrame, before: DataFrame | None) -> DataFrame:
    """Return ``component, group_id``: the id that a component keeps, or a new one."""
    if before is None:
        return placed.select("component", _new_id(0).alias("group_id")).distinct()
    claims = placed.join(before, "listing_id").groupBy("component", "group_id").agg(F.min("listing_id").alias("holder"))
    strongest = Window.partitionBy("group_id").orderBy("holder")
    won = claims.withColumn("place", F.row_number().over(strongest)).where(F.col("place") == 1)
    kept = won.groupBy("component").agg(F.min("group_id").alias("kept"))
    fresh = placed.select("component").distinct().join(kept, "component", "left")
    free = _free_ids(fresh.where(F.col("kept").isNull()), before)
    return fresh.join(free, "component", "left").select("component", F.coalesce("kept", "free").alias("group_id"))


def _free_ids(fresh: DataFrame, before: DataFrame) -> DataFrame:
    # an id that is in use is not given anew: the listing it was made of may have left the group that carries it
    names = F.array(*[_new_id(attempt) for attempt in range(_ATTEMPTS)])
    offered = fresh.select("component", F.posexplode(names).alias("attempt", "free"))
    taken = before.select(F.col("group_id").alias("free"))
    first = F.min_by("free", "attempt").alias("free")
    return offered.join(taken, "free", "left_anti").groupBy("component").agg(first)


def _new_id(attempt: int) -> Column:
    seed = F.col("component") if attempt == 0 else F.concat(F.col("component"), F.lit(f"#{attempt}"))
    return F.concat(F.lit("g"), F.substring(F.sha2(seed, 256), 1, 16))
