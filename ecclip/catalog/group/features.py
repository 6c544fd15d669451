"""Describe every listing of a night in Spark: words are counted over all, facts over a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.group.description import Describer, Description
from ecclip.catalog.group.term_statistics import TermStatistics, count_terms
from ecclip.formats.columns import IMAGE_ERROR, IMAGE_PHASH, IMAGE_SHA256

# what grouping compares: a listing whose other columns change is not compared again
COMPARED = (
    "grouping_title",
    "brand",
    "category",
    "attributes",
    "price",
    "currency",
    "catalog_id",
    IMAGE_SHA256,
    IMAGE_PHASH,
    IMAGE_ERROR,
)
_TEXTS = "fact_texts"
_LISTS = ", ".join(
    f"{name} array<{'string' if name == _TEXTS else 'bigint'}>" for name in Description._fields if name != "total"
)
_KEPT = ("listing_id", "plain", "catalog_id", "brand", "category", "price", "currency", "photo", "phash")
_SCHEMA = (
    "listing_id string, plain string, catalog_id string, brand string, category string, price double, "
    f"currency string, photo string, phash bigint, total bigint, {_LISTS}"
)
_KINDS = {"price": pa.float64(), "phash": pa.int64(), "total": pa.int64(), _TEXTS: pa.list_(pa.string())}


def comparable(listings: DataFrame) -> DataFrame:
    """Return what listings are compared by as plain columns: text in lower case, the photo only where it is good."""
    usable = F.col(IMAGE_ERROR).isNull()
    return listings.select(
        "listing_id",
        F.trim(F.regexp_replace(F.lower("grouping_title"), r"[^\p{L}\p{N}]+", " ")).alias("plain"),
        "catalog_id",
        F.lower("brand").alias("brand"),
        F.when(F.size("category") > 0, F.concat_ws("/", "category")).alias("category"),
        "attributes",
        F.col("price").cast("double").alias("price"),
        "currency",
        F.when(usable, F.col(IMAGE_SHA256)).alias("photo"),
        F.when(usable, F.conv(IMAGE_PHASH, 16, -10).cast("bigint")).alias("phash"),
    )


def digest() -> Column:
    """Return a hash of the columns of a listing that grouping compares."""
    plain = [F.array_sort(F.map_entries(name)) if name == "attributes" else F.col(name) for name in COMPARED]
    # null columns are skipped by the hash: so which ones are null is hashed too
    empty = [F.col(name).isNull() for name in COMPARED]
    return F.xxhash64(*plain, *empty)


def learn_statistics(rows: DataFrame, total: int, sample_listings: int) -> TermStatistics:
    """Return the term statistics of ``total`` listings: words counted over all, facts over an even sample by hash."""
    words = rows.select(F.explode(F.array_distinct(F.split("plain", " "))).alias("word"))
    counted = words.groupBy("word").agg(F.count("*").alias("listings")).where(F.col("listings") > 1).toArrow()
    frequency = dict(zip(counted["word"].to_pylist(), counted["listings"].to_pylist(), strict=True))
    every = -(-total // sample_listings) or 1
    chosen = rows.where(F.pmod(F.xxhash64("listing_id"), F.lit(every)) == 0)
    sample = chosen.select("plain", "brand", "category", "attributes").toArrow()
    return count_terms(total, frequency, sample.to_pylist())


def describe(spark: SparkSession, rows: DataFrame, terms: TermStatistics) -> DataFrame:
    """Return a row for each listing: what it is compared by (see :class:`Description`) and its plain columns."""
    shared = spark.sparkContext.broadcast(terms)

    def described(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        describer = Describer(shared.value)
        for batch in batches:
            yield _described(batch, describer)

    described_rows: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]] = described
    return rows.mapInArrow(described_rows, _SCHEMA)


def _described(batch: pa.RecordBatch, describer: Describer) -> pa.RecordBatch:
    found = [describer.describe(row) for row in batch.to_pylist()]
    columns = {name: batch.column(name) for name in _KEPT}
    order = ["total", *(name for name in Description._fields if name != "total")]
    for name in order:
        kind = _KINDS.get(name, pa.list_(pa.int64()))
        columns[name] = pa.array([getattr(one, name) for one in found], kind)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
