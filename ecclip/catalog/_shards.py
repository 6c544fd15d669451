"""Training shards: train listings with a photo, in the order that training reads, in row groups for random access."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from ecclip.catalog._parts import count_rows, write_as_is
from ecclip.core import canonical_json, write_atomic

SHARD_COLUMNS = (
    "listing_id",
    "group_id",
    "category_key",
    "title",
    "description",
    "brand",
    "attributes",
    "image",
)
ROW_GROUP = 256


def write_shards(listings: DataFrame, folder: Path, rows_per_shard: int) -> int:
    """Write ``train-<n>.parquet`` and ``index.json`` (files with their rows, in order); return the number of shards.

    Listings of one category are near each other, so hard negatives meet in a batch; within a category the hash of
    the listing_id keeps sellers and nights apart.
    """
    folder.mkdir(parents=True)
    keys = listings.where((F.col("split") == "train") & F.col("image").isNotNull()).select(
        "listing_id", F.concat_ws("/", "category").alias("category_key"), F.sha2("listing_id", 256).alias("hash")
    )
    # only the keys meet in one place to be ordered; the photos go straight to their shard
    place = F.row_number().over(Window.orderBy("category_key", "hash")) - 1
    placed = keys.select("listing_id", "category_key", place.alias("place")).localCheckpoint()
    rows = placed.count()
    shards = -(-rows // rows_per_shard)
    if shards:
        numbered = placed.withColumn("shard", F.floor(F.col("place") / rows_per_shard).cast("int"))
        ordered = listings.join(numbered, "listing_id").repartitionById(shards, "shard").sortWithinPartitions("place")
        write_as_is(ordered.select(*SHARD_COLUMNS), folder, prefix="train", row_group=ROW_GROUP)
    files = [{"file": path.name, "rows": count_rows(folder, path.name)} for path in sorted(folder.glob("*.parquet"))]
    index = {"shards": files, "rows": rows, "columns": list(SHARD_COLUMNS)}
    write_atomic(folder / "index.json", canonical_json(index))
    return shards
