"""Clean the texts of listings in Spark: those that have changed; and the titles that grouping compares.

``title`` is what models read, and a function of the title alone: a server has nothing else. ``grouping_title`` is that
without the phrases of its seller, which takes a whole night to find.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.clean.boilerplate import Phrase, edge_phrases
from ecclip.catalog.clean.phrases import without_phrases
from ecclip.formats.columns import TEXT_SHA256, TITLE_ORIGINAL
from ecclip.formats.snapshot import Snapshot
from ecclip.product_input import clean_text, description_text, title_text

TEXT_COLUMNS = ("listing_id", TEXT_SHA256)


def known_texts(spark: SparkSession, snapshot: Path) -> DataFrame:
    """Return the clean texts of a snapshot by listing and digest of what came in."""
    before = Snapshot(snapshot)
    digests = spark.read.parquet(str(before.texts))
    texts = [F.col(name).alias(f"known_{name}") for name in _CLEANED]
    clean = spark.read.parquet(str(before.listings)).select("listing_id", *texts)
    return digests.join(clean, "listing_id")


def clean_texts(listings: DataFrame, known: DataFrame | None) -> DataFrame:
    """Return ``listings`` with clean title, description and brand, title_original, text_sha256 and is_new_text."""
    digest = F.sha2(F.to_json(F.struct(*_CLEANED)), 256)
    named = listings.withColumns({TEXT_SHA256: digest, TITLE_ORIGINAL: F.col("title")})
    if known is None:
        cleaned = {name: _cleaner(name)(F.col(name)) for name in _CLEANED}
        cleaned["is_new_text"] = F.lit(True)
    else:
        named = named.join(known, ["listing_id", TEXT_SHA256], "left")
        cleaned = {name: _unless_known(name) for name in _CLEANED}
        cleaned["is_new_text"] = F.col("known_title").isNull()
    found = named.withColumns(cleaned)
    return found.drop(*[f"known_{name}" for name in _CLEANED])


def with_grouping_titles(listings: DataFrame, phrases: list[Phrase], longest: int) -> DataFrame:
    """Return ``listings`` with grouping_title: the title without its seller's phrases and those of all sellers."""
    if not phrases:
        return listings.withColumn("grouping_title", F.col("title"))
    shared = [one.phrase for one in phrases if one.seller_id is None]
    mine = [(one.seller_id, one.phrase) for one in phrases if one.seller_id is not None]
    sellers = listings.sparkSession.createDataFrame(mine, "seller string, phrase string").groupBy("seller")
    own = sellers.agg(F.sort_array(F.collect_set("phrase")).alias("own"))
    joined = listings.join(own, F.coalesce("seller_id", F.lit("")) == F.col("seller"), "left")
    theirs = F.coalesce(F.col("own"), F.array().cast("array<string>"))
    applied = F.concat(theirs, F.array(*map(F.lit, shared)).cast("array<string>"))
    touched = F.arrays_overlap(edge_phrases("title", longest), applied)
    # rows without a match are passed to Python as null, which is nearly free
    changed = _stripper(longest)(F.when(touched, F.col("title")), F.when(touched, applied))
    return joined.withColumn("grouping_title", F.coalesce(changed, F.col("title"))).drop("seller", "own")


def _unless_known(name: str) -> Column:
    is_known = F.col("known_title").isNotNull()
    return F.when(is_known, F.col(f"known_{name}")).otherwise(_cleaner(name)(F.when(~is_known, F.col(name))))


def _cleaner(name: str) -> Callable[[Column], Column]:
    """Return the function of a column of texts as they came in, null where there is none."""
    clean_one = _CLEANED[name]

    def clean(texts: pa.Array) -> pa.Array:
        return pa.array([None if text is None else clean_one(text) for text in texts.to_pylist()], pa.string())

    return F.arrow_udf(clean, "string")  # type: ignore[call-overload]


_CLEANED: dict[str, Callable[[str], str | None]] = {
    "title": title_text,
    "description": description_text,
    "brand": clean_text,
}


def _stripper(longest: int) -> Callable[[Column, Column], Column]:
    def strip(titles: pa.Array, phrases: pa.Array) -> pa.Array:
        rows = zip(titles.to_pylist(), phrases.to_pylist(), strict=True)
        return pa.array([title and without_phrases(title, set(found), longest) for title, found in rows], pa.string())

    return F.arrow_udf(strip, "string")  # type: ignore[call-overload]
