"""Publish: listings with their groups and splits, quarantine, statistics and training shards as one snapshot."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydantic import Field

from ecclip.catalog._clean import CLEAN_COLUMNS, CLEAN_FOLDERS
from ecclip.catalog._contract import QUARANTINE_COLUMNS
from ecclip.catalog._parts import count_rows, count_values, write_parts
from ecclip.catalog._recipe import RECIPES
from ecclip.catalog._shards import write_shards
from ecclip.catalog._spark import spark_session
from ecclip.catalog._split import split_column
from ecclip.catalog._statistics import statistics
from ecclip.core import Counts, StageConfig, canonical_json, stage, write_atomic

SNAPSHOT_COLUMNS = (*CLEAN_COLUMNS, "group_id", "split")


class PublishConfig(StageConfig):
    """Parameters of publishing."""

    rows_per_shard: int = Field(4096, ge=1, description="listings in one training shard")
    parts: int = Field(2, ge=1, description="files of listings and shuffle partitions")


@stage
def publish(cfg: PublishConfig, ingested: Path, cleaned: Path, grouped: Path, output: Path) -> Counts:
    """Write the snapshot: ``listings/``, ``groups/`` (evidence), ``quarantine/``, ``statistics.json``, ``shards/``.

    What cleaning found goes with it, for people and for the next night: ``boilerplate/``, ``placeholders/``, ``texts/``
    and ``recipes.json``.

    The split is a pure function of the group id, so a group never crosses splits.
    """
    spark = spark_session(cfg.parts, cleaned)
    listings = spark.read.parquet(str(cleaned / "listings")).join(
        spark.read.parquet(str(grouped / "groups")), "listing_id"
    )
    listings = listings.withColumn("split", split_column("group_id"))
    write_parts(listings.select(*SNAPSHOT_COLUMNS), output / "listings", cfg.parts)
    shutil.copytree(grouped / "edges", output / "groups")
    for name in CLEAN_FOLDERS:
        shutil.copytree(cleaned / name, output / name)
    shutil.copyfile(cleaned / RECIPES, output / RECIPES)
    rejected = [spark.read.parquet(str(folder / "quarantine")) for folder in (ingested, cleaned)]
    write_parts(rejected[0].unionByName(rejected[1]), output / "quarantine", 1, sort=list(QUARANTINE_COLUMNS))
    published = spark.read.parquet(str(output / "listings"))
    shards = write_shards(published, output / "shards", cfg.rows_per_shard)
    facts = statistics(published)
    facts["quarantined"] = count_values(output / "quarantine", "reason")
    write_atomic(output / "statistics.json", canonical_json(facts))
    return _counts(output, shards, facts["groups"])


def _counts(output: Path, shards: int, groups: int) -> Counts:
    listings = count_rows(output / "listings")
    trained = count_rows(output / "shards")
    return Counts(
        read={"listings": listings},
        written={"listings": listings, "groups": groups, "shards": shards, "shard_rows": trained},
        detail={"splits": count_values(output / "listings", "split")},
    )
