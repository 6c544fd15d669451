"""Training shards: train listings with a photo, in the order that training reads, in row groups for random access."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.spark.parts import write_as_is
from ecclip.formats.columns import CATEGORY_KEY, SPLIT
from ecclip.formats.shards import COLUMNS, PREFIX, ROW_GROUP, write_index

_BUCKETS_PER_SHARD = 8  # a shard's size is then within an eighth of the wanted one
_MAX_DIGITS = 8  # hexadecimal, of a bucket's prefix: enough for four billion buckets of a category
_GROUP_BYTES = (1 << 31) - 1  # no row group is cut short for its size


class Bucket(NamedTuple):
    """Listings of one category whose hash begins with ``prefix``: the smallest piece that a shard is made of."""

    category_key: str
    prefix: str
    rows: int


def write_shards(listings: DataFrame, folder: Path, rows_per_shard: int) -> int:
    """Write the training shards and their index; return how many shards.

    Listings of one category are near each other, so hard negatives meet in a batch; within a category the hash of
    the listing_id keeps sellers and nights apart. Every row group has 256 rows but the last of a file.

    Only counts are ever collected in one process: a large category is cut into buckets by the first digits of the hash,
    the buckets in order are put together to shards of about ``rows_per_shard``, and each row goes straight to its
    shard, where rows are sorted on disk. The same rows give the same shards however they came.
    """
    folder.mkdir(parents=True)
    chosen = listings.where((F.col(SPLIT) == "train") & F.col("image").isNotNull())
    chosen = chosen.withColumns(
        {CATEGORY_KEY: F.coalesce(F.concat_ws("/", "category"), F.lit("")), "hash": F.sha2("listing_id", 256)}
    )
    digits = _digits(chosen, rows_per_shard)
    shards = pack(_buckets(chosen, digits), rows_per_shard)
    if shards:
        placed = _placed(listings.sparkSession, chosen, digits, shards)
        ordered = placed.repartitionById(len(shards), "shard").sortWithinPartitions(CATEGORY_KEY, "hash")
        write_as_is(
            ordered.select(*COLUMNS.names), folder, prefix=PREFIX, row_group=ROW_GROUP, row_group_bytes=_GROUP_BYTES
        )
    write_index(folder)
    return len(shards)


def pack(buckets: list[Bucket], rows_per_shard: int) -> list[list[Bucket]]:
    """Return the buckets, which are in order, as shards: the next bucket goes to the last shard while it fits."""
    shards: list[list[Bucket]] = []
    rows = 0
    for bucket in buckets:
        if not shards or rows + bucket.rows > rows_per_shard:
            shards.append([])
            rows = 0
        shards[-1].append(bucket)
        rows += bucket.rows
    return shards


def _digits(chosen: DataFrame, rows_per_shard: int) -> DataFrame:
    """Return for each category how many digits of the hash cut it into buckets of an eighth of a shard or less."""
    counts = chosen.groupBy(CATEGORY_KEY).agg(F.count("*").alias("rows"))
    enough = [F.col("rows") * _BUCKETS_PER_SHARD > rows_per_shard * 16**digits for digits in range(_MAX_DIGITS)]
    digits = reduce(Column.__add__, [condition.cast("int") for condition in enough])
    return counts.select(CATEGORY_KEY, digits.alias("digits")).localCheckpoint()


def _prefix() -> Column:
    return F.expr("substring(hash, 1, digits)")


def _buckets(chosen: DataFrame, digits: DataFrame) -> list[Bucket]:
    keys = chosen.select(CATEGORY_KEY, "hash").join(F.broadcast(digits), CATEGORY_KEY)
    counts = keys.groupBy(CATEGORY_KEY, _prefix().alias("prefix")).agg(F.count("*").alias("rows"))
    return sorted(Bucket(row[CATEGORY_KEY], row["prefix"], row["rows"]) for row in counts.collect())


def _placed(spark: SparkSession, chosen: DataFrame, digits: DataFrame, shards: list[list[Bucket]]) -> DataFrame:
    places = [(bucket.category_key, bucket.prefix, number) for number, shard in enumerate(shards) for bucket in shard]
    table = spark.createDataFrame(places, f"{CATEGORY_KEY} string, prefix string, shard int")
    known = chosen.join(F.broadcast(digits), CATEGORY_KEY).withColumn("prefix", _prefix())
    return known.join(F.broadcast(table), [CATEGORY_KEY, "prefix"])
