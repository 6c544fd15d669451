"""Evidence that two listings are one product: pairs with what says so and how strongly (0..1)."""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ecclip.core import StageConfig

_GRAM = 3
_HASHES = 16
_ROWS = 2  # MinHash values a band: 16 hashes make 8 bands
_EXACT = ("catalog_id", "same_photo_and_title")


def exact_edges(listings: DataFrame) -> DataFrame:
    """Return edges between listings of one ``catalog_id``, or with the same photo file and the same title.

    Each group is a star around its smallest listing_id, so the number of edges stays below that of listings.
    """
    photo = listings.where(F.col("photo").isNotNull() & (F.col("plain") != ""))
    return _star(listings, ["catalog_id"], "catalog_id").union(_star(photo, ["photo", "plain"], "same_photo_and_title"))


def _star(listings: DataFrame, keys: list[str], evidence: str) -> DataFrame:
    known = reduce(lambda one, two: one & two, [F.col(key).isNotNull() for key in keys])
    centres = listings.where(known).groupBy(*keys).agg(F.min("listing_id").alias("left"))
    pairs = listings.where(known).join(centres, keys).where(F.col("left") != F.col("listing_id"))
    return pairs.select(
        "left", F.col("listing_id").alias("right"), F.lit(evidence).alias("evidence"), F.lit(1.0).alias("weight")
    )


def features(listings: DataFrame) -> DataFrame:
    """Return what edges are judged by: the plain title, its tokens and character n-grams, hashes and facts."""
    plain = F.trim(F.regexp_replace(F.lower("title"), r"[^\\p{L}\\p{N}]+", " "))
    padded = F.concat(F.lit(" "), F.col("plain"), F.lit(" "))
    last = F.length("plain") + 3 - _GRAM
    grams = F.transform(F.sequence(F.lit(1), last), lambda at: F.xxhash64(F.substring(padded, at, F.lit(_GRAM))))
    usable = F.col("image_error").isNull()
    return (
        listings.withColumn("plain", plain)
        .select(
            "listing_id",
            "plain",
            "catalog_id",
            F.lower("brand").alias("brand"),
            F.concat_ws("/", "category").alias("category"),
            "attributes",
            "price",
            F.when(usable, F.col("image_sha256")).alias("photo"),
            F.when(usable, F.conv("image_phash", 16, -10).cast("bigint")).alias("phash"),
            F.array_distinct(F.split("plain", " ")).alias("tokens"),
        )
        .withColumn("grams", F.when(F.col("plain") != "", F.array_distinct(grams)))
    )
