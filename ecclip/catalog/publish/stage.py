"""Publish: listings with their groups and splits, quarantine, statistics and training shards as one snapshot."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.clean.stage import CLEAN_COLUMNS, CLEAN_FOLDERS
from ecclip.catalog.dump.contract import QUARANTINE_COLUMNS
from ecclip.catalog.gate.before_publishing import ReleaseConfig, release
from ecclip.catalog.gate.history import read_history, write_history
from ecclip.catalog.publish.corrected import corrected_labels
from ecclip.catalog.publish.shards import write_shards
from ecclip.catalog.publish.split import split_column
from ecclip.catalog.publish.statistics import statistics
from ecclip.catalog.publish.taxonomised import chosen_taxonomy, with_taxonomy
from ecclip.catalog.spark.parts import count_rows, count_values, write_parts
from ecclip.catalog.spark.session import spark_session
from ecclip.core import Counts, canonical_json, stage, write_atomic
from ecclip.formats.columns import GROUP_ID, MISMATCH, SPLIT
from ecclip.formats.snapshot import (
    GROUPS,
    LISTINGS,
    QUARANTINE,
    SHARDS,
    STATISTICS,
    Listings,
    mark_snapshot,
    read_recipes,
    write_recipes,
)
from ecclip.formats.taxonomy.tree import Finder, write_taxonomy
from ecclip.product_input import DEFINITION

SNAPSHOT_COLUMNS = (*CLEAN_COLUMNS, GROUP_ID, SPLIT, MISMATCH)


class PublishConfig(ReleaseConfig):
    """Parameters of publishing, and of the check before it; defaults by judgment."""

    rows_per_shard: int = Field(4096, ge=1, description="listings in one training shard")
    history_nights: int = Field(14, ge=1, description="good nights whose facts a snapshot carries")
    parts: int = Field(2, ge=1, description="files of listings and shuffle partitions")
    taxonomy: str | None = Field(
        None,
        description="file of the folder `taxonomy/` whose categories those of the dump are mapped onto; None: they are "
        "the paths of the dump",
    )


@stage
def publish(
    cfg: PublishConfig,
    ingested: Path,
    checked: Path,
    cleaned: Path,
    grouped: Path,
    pairs: Path,
    previous: Path,
    corrections: Path,
    taxonomies: Path,
    output: Path,
) -> Counts:
    """Write the snapshot: ``listings/``, ``groups/`` (evidence), ``quarantine/``, ``statistics.json``, ``shards/``.

    The split is a pure function of the group id, so a group never crosses splits. Listings whose photo and title do
    not belong together by ``pairs`` (``listing_id``, ``agreement``) have ``mismatch`` set and are in no shard.
    Labels are those of the dump but where people have given others (``corrections``); categories are those of a
    taxonomy, a file of ``taxonomies``, where ``cfg`` names one, which then goes into the snapshot.
    ``verdict.json`` says why the night was let pass, ``history.json`` holds the facts of the last
    good nights, this one included. What cleaning found goes with it, for people and for the next night:
    ``boilerplate/``, ``placeholders/``, ``texts/``, ``recipes.json`` and ``product_input.json``.

    Raises:
        ConfigError: the taxonomy cannot be used; names file and line.
        GateError: the night differs too much from the last good nights; nothing is published. Verdict and data docs
            are in ``<output>.refused/``.
        IntegrityError: the previous snapshot carries no history, check left no facts, or a line of the corrections
            cannot be read.
    """
    taxonomy, history = chosen_taxonomy(taxonomies, cfg.taxonomy), read_history(previous)
    tonight, wrong = release(cfg, checked, cleaned, grouped, pairs, history, output)
    spark = spark_session(cfg.parts, cleaned)
    listings = spark.read.parquet(str(Listings(cleaned).listings)).join(
        spark.read.parquet(str(grouped / GROUPS)), "listing_id"
    )
    listings, mapped = with_taxonomy(spark, listings, taxonomy)
    finder = None if taxonomy is None else Finder(taxonomy)
    listings, corrected = corrected_labels(spark, listings, corrections, finder)
    listings = _marked(spark, listings.withColumn(SPLIT, split_column(GROUP_ID)), wrong)
    write_parts(listings.select(*SNAPSHOT_COLUMNS), output / LISTINGS, cfg.parts)
    shutil.copytree(grouped / "edges", output / GROUPS)
    for name in CLEAN_FOLDERS:
        shutil.copytree(cleaned / name, output / name)
    write_recipes(read_recipes(cleaned), output)
    shutil.copyfile(cleaned / DEFINITION, output / DEFINITION)
    rejected = [spark.read.parquet(str(folder / QUARANTINE)) for folder in (ingested, cleaned)]
    write_parts(rejected[0].unionByName(rejected[1]), output / QUARANTINE, 1, sort=list(QUARANTINE_COLUMNS))
    published = spark.read.parquet(str(output / LISTINGS))
    shards = write_shards(published.where(~F.col(MISMATCH)), output / SHARDS, cfg.rows_per_shard)
    facts = statistics(published)
    facts["quarantined"] = count_values(output / QUARANTINE, "reason")
    write_atomic(output / STATISTICS, canonical_json(facts))
    mark_snapshot(output)
    if taxonomy is not None:
        write_taxonomy(taxonomy, output)
    write_history(output, [*history, tonight], cfg.history_nights)
    return _counts(output, shards, facts["groups"], {"corrections": corrected, "taxonomy": mapped})


def _marked(spark: SparkSession, listings: DataFrame, wrong: pa.Table) -> DataFrame:
    """Return the listings with ``mismatch``: whether photo and title do not belong together."""
    if not wrong.num_rows:
        return listings.withColumn(MISMATCH, F.lit(False))
    marks = F.broadcast(spark.createDataFrame(wrong).withColumn(MISMATCH, F.lit(True)))
    joined = listings.join(marks, "listing_id", "left")
    return joined.withColumn(MISMATCH, F.coalesce(MISMATCH, F.lit(False)))


def _counts(output: Path, shards: int, groups: int, labels: dict[str, dict[str, Any]]) -> Counts:
    listings = count_rows(output / LISTINGS)
    trained = count_rows(output / SHARDS)
    mismatched = pc.sum(pq.read_table(output / LISTINGS, columns=[MISMATCH])[MISMATCH]).as_py()
    return Counts(
        read={"listings": listings},
        written={"listings": listings, "groups": groups, "shards": shards, "shard_rows": trained},
        dropped={"mismatch": mismatched} if mismatched else {},
        detail={"splits": count_values(output / LISTINGS, SPLIT), **labels},
    )
