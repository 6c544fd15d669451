"""Group: listings of one product, by exact and near duplicates, with ids that stay from night to night."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import Field
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.group.ambiguity import mark_ambiguous
from ecclip.catalog.group.candidates import candidates
from ecclip.catalog.group.components import components
from ecclip.catalog.group.cut import split
from ecclip.catalog.group.edges import crowded_catalog_ids, exact_edges, near_edges
from ecclip.catalog.group.evidence import CUT, EvidenceConfig
from ecclip.catalog.group.features import comparable, describe, learn_statistics
from ecclip.catalog.group.ids import group_ids
from ecclip.catalog.group.incremental import known_edges, unchanged, write_rules
from ecclip.catalog.group.term_statistics import TermStatistics
from ecclip.catalog.spark.parts import count_rows, count_values, write_parts
from ecclip.catalog.spark.session import spark_session
from ecclip.core import Counts, stage
from ecclip.formats.columns import GROUP_ID
from ecclip.formats.snapshot import GROUPS, Listings, previous_snapshot

_ROWS_PER_PARTITION = 50_000  # a partition then fits into a 1 GiB executor; by judgment


class GroupConfig(EvidenceConfig):
    """Parameters of grouping; sizes by judgment."""

    parts: int = Field(2, ge=1, description="output files, and least number of shuffle partitions")


@stage
def group(cfg: GroupConfig, cleaned: Path, previous: Path, output: Path) -> Counts:
    """Write ``groups/`` (listing_id, group_id: one row per listing) and ``edges/`` (the evidence, with marks).

    Groups are the connected components of the edges that are not marked: ``ambiguous`` (see ``mark_ambiguous``) and
    ``cut`` (see ``split_component``) stay as evidence and join nothing.

    A pair is compared on the night when one of its listings is new or changed, by that night's term statistics and
    block sizes; the edge keeps that evidence until one of its listings changes or is removed, or the rules change. A
    group keeps the id of a group of the previous snapshot (see ``group_ids``); a new group gets an id made from its
    smallest listing_id.
    """
    total = count_rows(Listings(cleaned).listings)
    spark = spark_session(max(cfg.parts, -(-total // _ROWS_PER_PARTITION)), cleaned, rows=total)
    rows = spark.read.parquet(str(Listings(cleaned).listings)).drop("image")
    same = unchanged(cfg, rows, previous)
    terms = learn_statistics(comparable(rows), total, cfg.sample_listings)
    describe(spark, comparable(rows), terms).write.parquet(str(output / "_described"))
    described = spark.read.parquet(str(output / "_described"))
    dropped = _write_edges(cfg, described, terms, same, previous, output / "_edges")
    edges = mark_ambiguous(spark.read.parquet(str(output / "_edges")), described)
    labels, edges = _components(cfg, edges.localCheckpoint(storageLevel=StorageLevel.DISK_ONLY))
    write_parts(edges, output / "edges", 1, sort=["left", "right", "evidence"], prefix="edges")
    write_rules(cfg, output / "edges")
    placed = described.select("listing_id").join(labels.withColumnRenamed("node", "listing_id"), "listing_id", "left")
    placed = placed.withColumn("component", F.coalesce("component", "listing_id")).localCheckpoint()
    ids = group_ids(placed, _previous_groups(spark, previous))
    write_parts(placed.join(ids, "component").select("listing_id", GROUP_ID), output / GROUPS, cfg.parts)
    for scratch in ("_described", "_edges"):
        shutil.rmtree(output / scratch)
    return _counts(output, dropped)


def _write_edges(
    cfg: EvidenceConfig,
    described: DataFrame,
    terms: TermStatistics,
    same: DataFrame | None,
    previous: Path,
    scratch: Path,
) -> dict[str, int]:
    """Write all edges of the night without marks; return what was left out by reason, and how much was compared."""
    spark = described.sparkSession
    if same is None:
        flagged = described.withColumn("fresh", F.lit(True))
    else:
        same = same.localCheckpoint(storageLevel=StorageLevel.DISK_ONLY)
        flagged = described.join(same.withColumn("same", F.lit(True)), "listing_id", "left")
        flagged = flagged.withColumn("fresh", F.col("same").isNull()).drop("same")
    oversized = Observation()
    edges = exact_edges(cfg, described)
    edges = edges.unionByName(near_edges(cfg, candidates(cfg, flagged, oversized), described, terms))
    if same is not None:
        edges = edges.unionByName(known_edges(spark, same, previous))
    edges.write.parquet(str(scratch))
    left_out = {
        "oversized_blocks": int(oversized.get["blocks"]),
        "oversized_catalog_ids": crowded_catalog_ids(cfg, described),
    }
    return {reason: count for reason, count in left_out.items() if count}


def _components(cfg: EvidenceConfig, edges: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Return ``node, component`` and the edges, marked ``cut`` where a component above the cap was split."""
    used = edges.where(F.col("mark").isNull())
    labels = components(used)
    parts = split(used, labels, cfg.max_group_size)
    if parts is None:
        return labels, edges
    labels = labels.join(parts, "node", "left").select("node", F.coalesce("split", "component").alias("component"))
    for side in ("left", "right"):
        edges = edges.join(parts.toDF(side, f"{side}_part"), side, "left")
    apart = F.col("mark").isNull() & (F.col("left_part") != F.col("right_part"))
    mark = F.when(apart, F.lit(CUT)).otherwise(F.col("mark")).alias("mark")
    return labels, edges.select("left", "right", "evidence", "weight", mark)


def _previous_groups(spark: SparkSession, previous: Path) -> DataFrame | None:
    before = previous_snapshot(previous)
    return None if before is None else spark.read.parquet(str(before.listings)).select("listing_id", GROUP_ID)


def _counts(output: Path, dropped: dict[str, int]) -> Counts:
    sizes = count_values(output / GROUPS, GROUP_ID)
    detail = {
        "evidence": count_values(output / "edges", "evidence"),
        "not_used": count_values(output / "edges", "mark"),
        "largest_group": max(sizes.values(), default=0),
    }
    return Counts(
        read={"listings": count_rows(output / GROUPS)},
        written={"groups": len(sizes), "edges": count_rows(output / "edges")},
        dropped=dropped,
        detail=detail,
    )
