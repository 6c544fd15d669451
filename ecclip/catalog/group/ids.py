"""Group ids that stay the same from night to night while listings come, change and go."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ecclip.formats.columns import GROUP_ID

_ATTEMPTS = 8  # names tried for a new id; by judgment: one is taken only where a group lost the listing that named it


def group_ids(placed: DataFrame, before: DataFrame | None) -> DataFrame:
    """Return ``component, group_id`` of ``placed`` (listing_id, component): the id that it keeps, or a new one.

    An old group's id goes to the component of its smallest listing that is still there; a component with a claim to
    several ids keeps the smallest. ``before`` holds the previous night's listing_id and group_id.
    """
    if before is None:
        return placed.select("component", _new_id(0).alias(GROUP_ID)).distinct()
    claims = placed.join(before, "listing_id").groupBy("component", GROUP_ID).agg(F.min("listing_id").alias("holder"))
    strongest = Window.partitionBy(GROUP_ID).orderBy("holder")
    won = claims.withColumn("place", F.row_number().over(strongest)).where(F.col("place") == 1)
    kept = won.groupBy("component").agg(F.min(GROUP_ID).alias("kept"))
    fresh = placed.select("component").distinct().join(kept, "component", "left")
    free = _free_ids(fresh.where(F.col("kept").isNull()), before)
    return fresh.join(free, "component", "left").select("component", F.coalesce("kept", "free").alias(GROUP_ID))


def _free_ids(fresh: DataFrame, before: DataFrame) -> DataFrame:
    # an id in use is not given out again: the listing it was derived from may have left the group that carries it
    names = F.array(*[_new_id(attempt) for attempt in range(_ATTEMPTS)])
    offered = fresh.select("component", F.posexplode(names).alias("attempt", "free"))
    taken = before.select(F.col(GROUP_ID).alias("free"))
    first = F.min_by("free", "attempt").alias("free")
    return offered.join(taken, "free", "left_anti").groupBy("component").agg(first)


def _new_id(attempt: int) -> Column:
    seed = F.col("component") if attempt == 0 else F.concat(F.col("component"), F.lit(f"#{attempt}"))
    return F.concat(F.lit("g"), F.substring(F.sha2(seed, 256), 1, 16))
