"""Clean the texts of listings in Spark: those that have changed, then the titles without their sellers' phrases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.clean.boilerplate import Phrase, edge_phrases
from ecclip.catalog.clean.phrases import without_phrases
from ecclip.product_input.text import clean_text
from ecclip.product_input.units import spell_units

TEXT_COLUMNS = ("listing_id", "text_sha256", "title")
TEXTS = "texts"


def known_texts(spark: SparkSession, snapshot: Path) -> DataFrame:
    """Return the clean texts of a snapshot by listing and digest of what came in, titles with all their phrases."""
    titles = spark.read.parquet(str(snapshot / TEXTS))
    others = spark.read.parquet(str(snapshot / "listings")).select("listing_id", "description", "brand")
    known = titles.join(others, "listing_id")
    return known.select(
        "listing_id", "text_sha256", *[F.col(name).alias(f"known_{name}") for name in ("title", "description", "brand")]
    )


def clean_texts(listings: DataFrame, known: DataFrame | None) -> DataFrame:
    """Return ``listings`` with clean title, description and brand, title_original, text_sha256 and is_new_text.

    A title of nothing but markup stays what it was: a listing must have one.
    """
    digest = F.sha2(F.to_json(F.struct("title", "description", "brand")), 256)
    named = listings.withColumns({"text_sha256": digest, "title_original": F.col("title")})
    if known is None:
        cleaned = {name: _cleaner(name)(F.col(name)) for name in ("title", "description", "brand")}
        cleaned["is_new_text"] = F.lit(True)
    else:
        named = named.join(known, ["listing_id", "text_sha256"], "left")
        cleaned = {name: _unless_known(name) for name in ("title", "description", "brand")}
        cleaned["is_new_text"] = F.col("known_title").isNull()
    cleaned["title"] = F.coalesce(cleaned["title"], F.col("title_original"))
    found = named.withColumns(cleaned)
    return found.drop(*[f"known_{name}" for name in ("title", "description", "brand")])


def without_boilerplate(listings: DataFrame, phrases: list[Phrase], longest: int) -> DataFrame:
    """Return ``listings`` with the phrases of their seller, and those of all sellers, taken from their titles."""
    if not phrases:
        return listings
    shared = [one.phrase for one in phrases if one.seller_id is None]
    mine = [(one.seller_id, one.phrase) for one in phrases if one.seller_id is not None]
    sellers = listings.sparkSession.createDataFrame(mine, "seller string, phrase string").groupBy("seller")
    own = sellers.agg(F.sort_array(F.collect_set("phrase")).alias("own"))
    joined = listings.join(own, F.coalesce("seller_id", F.lit("")) == F.col("seller"), "left")
    theirs = F.coalesce(F.col("own"), F.array().cast("array<string>"))
    applied = F.concat(theirs, F.array(*map(F.lit, shared)).cast("array<string>"))
    touched = F.arrays_overlap(edge_phrases("title", longest), applied)
    # where nothing matches Python is handed a null, which costs next to nothing
    changed = _stripper(longest)(F.when(touched, F.col("title")), F.when(touched, applied))
    return joined.withColumn("title", F.coalesce(changed, F.col("title"))).drop("seller", "own")


def _unless_known(name: str) -> Column:
    is_known = F.col("known_title").isNotNull()
    return F.when(is_known, F.col(f"known_{name}")).otherwise(_cleaner(name)(F.when(~is_known, F.col(name))))


def _cleaner(name: str) -> Callable[[Column], Column]:
    spell = name != "brand"

    def clean(texts: pa.Array) -> pa.Array:
        cleaned = [clean_text(text) for text in texts.to_pylist()]
        if spell:
            cleaned = [text and spell_units(text) for text in cleaned]
        return pa.array(cleaned, pa.string())

    return F.arrow_udf(clean, "string")  # type: ignore[call-overload]


def _stripper(longest: int) -> Callable[[Column, Column], Column]:
    def strip(titles: pa.Array, phrases: pa.Array) -> pa.Array:
        rows = zip(titles.to_pylist(), phrases.to_pylist(), strict=True)
        return pa.array([title and without_phrases(title, set(found), longest) for title, found in rows], pa.string())

    return F.arrow_udf(strip, "string")  # type: ignore[call-overload]
