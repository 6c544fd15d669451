"""What listings are compared by: title tokens weighted by how rare they are in this dump, photo hash, plain facts."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def features(listings: DataFrame) -> DataFrame:
    """Return a row a listing: plain title, tokens with weights, photo digest and 64-bit hash, and facts.

    A token's weight is ln(listings / listings that have it): promotion words weigh little because many titles have
    them, model names much; no list of words and no language is needed. Tokens of one listing alone (mostly slips)
    tell nothing about pairs and weigh as little as a token of half the listings.
    """
    plain = F.trim(F.regexp_replace(F.lower("title"), r"[^\p{L}\p{N}]+", " "))
    usable = F.col("image_error").isNull()
    facts = listings.withColumn("plain", plain).select(
        "listing_id",
        "plain",
        "catalog_id",
        F.lower("brand").alias("brand"),
        F.when(F.size("category") > 0, F.concat_ws("/", "category")).alias("category"),
        F.transform_values("attributes", lambda _, value: F.lower(value)).alias("attributes"),
        "price",
        "currency",
        F.when(usable, F.col("image_sha256")).alias("photo"),
        F.when(usable, F.conv("image_phash", 16, -10).cast("bigint")).alias("phash"),
        F.array_distinct(F.split("plain", " ")).alias("tokens"),
    )
    return facts.join(_weighted(facts), "listing_id", "left")


def _weighted(facts: DataFrame) -> DataFrame:
    words = facts.select("listing_id", F.explode("tokens").alias("token")).where(F.col("token") != "")
    seen = words.groupBy("token").agg(F.count("*").alias("seen"))
    total = facts.agg(F.count("*").alias("total"))
    weight = F.when(F.col("seen") == 1, F.log(F.lit(2.0))).otherwise(F.log(F.col("total") / F.col("seen")))
    weighted = words.join(seen.crossJoin(total), "token")
    pairs = weighted.select("listing_id", F.struct("token", weight.alias("weight"), "seen").alias("word"))
    # sorted: the order in which Spark collects a group is not the same twice, and sums of doubles depend on it
    return pairs.groupBy("listing_id").agg(F.sort_array(F.collect_list("word")).alias("words"))
