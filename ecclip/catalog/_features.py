"""What listings are compared by: title tokens weighted by how rare they are in this dump, photo hash, plain facts."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_CODE = "code"
_TOKEN = "token"
_RARE_WEIGHT = 4.0  # less than 2 % of the titles have it


def features(listings: DataFrame, total: int, code_listings: int) -> DataFrame:
    """Return a row for each of ``total`` listings: plain title, weighted tokens, codes, photo digest and hash, facts.

    A token's weight is ln(listings / listings that have it): promotion words weigh little because many titles have
    them, model names much; no list of words and no language is needed. Tokens of one listing alone (mostly slips)
    tell nothing about pairs and weigh little too.

    A model code is a word followed by one with a digit ("orbit 513") that 2 to ``code_listings`` titles have;
    ``numbers`` are the rare tokens with a digit, for what contradicts.
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
        F.split("plain", " ").alias("tokens"),
    )
    weighted = _weighted(facts.select("listing_id", "tokens"), total)
    found = weighted.groupBy("listing_id").agg(
        # sorted: the order in which Spark collects a group is not the same twice, and sums of doubles depend on it
        F.sort_array(F.collect_list(F.when(F.col("kind") == _TOKEN, F.struct("text", "weight", "seen")))).alias(
            "words"
        ),
        F.sort_array(F.collect_list(F.when(_is_code(code_listings), F.col("text")))).alias("codes"),
        F.sort_array(F.collect_list(F.when(_is_number(), F.col("text")))).alias("numbers"),
    )
    return facts.withColumn("tokens", F.array_distinct("tokens")).join(found, "listing_id", "left")


def _weighted(titles: DataFrame, total: int) -> DataFrame:
    """Return ``listing_id, kind, text, seen, weight`` of every token and every code of a title."""
    after = F.slice("tokens", F.lit(2), F.size("tokens"))
    pairs = F.zip_with(
        "tokens",
        after,
        lambda word, number: F.when(word.rlike(r"^\p{L}+$") & number.rlike(r"\p{N}"), F.concat_ws(" ", word, number)),
    )
    words = F.transform(
        F.array_distinct("tokens"), lambda text: F.struct(F.lit(_TOKEN).alias("kind"), text.alias("text"))
    )
    codes = F.transform(F.array_distinct(pairs), lambda text: F.struct(F.lit(_CODE).alias("kind"), text.alias("text")))
    texts = titles.select("listing_id", F.explode(F.concat(words, codes)).alias("word"))
    texts = texts.select("listing_id", "word.kind", "word.text").where(F.coalesce("text", F.lit("")) != "")
    texts = texts.withColumn("seen", F.count("*").over(Window.partitionBy("kind", "text")))
    shared = F.log(F.lit(float(total)) / F.col("seen"))
    return texts.withColumn("weight", F.when(F.col("seen") == 1, F.log(F.lit(2.0))).otherwise(shared))


def _is_code(code_listings: int) -> Column:
    return (F.col("kind") == _CODE) & F.col("seen").between(2, code_listings)


def _is_number() -> Column:
    # numbers of many titles are slogans or sizes ("50%", "2024"), numbers of few are models
    rare = (F.col("seen") == 1) | (F.col("weight") > _RARE_WEIGHT)
    return (F.col("kind") == _TOKEN) & F.col("text").rlike(r"\p{N}") & rare
