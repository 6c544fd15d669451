"""Evidence that two listings are one product: pairs, the kind of evidence, and its strength (0..1)."""

from __future__ import annotations

import math
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ecclip.catalog.group.description import SCALE, WEIGHT_BITS
from ecclip.catalog.group.evidence import CATALOG_ID, KINDS, NEAR_TITLE, SAME_FACTS, EvidenceConfig, weight
from ecclip.catalog.group.fellegi_sunter import agreeing
from ecclip.catalog.group.term_statistics import TermStatistics

# words of a title are not independent ("verde", "valle"): alone they need twice the evidence that facts need;
# chosen on sample seeds 1-4, 7, 11 and 13
_TITLE_FACTOR = 2
_SIDE = ("words", "total", "numbers", "named", "facts", "fact_texts", "category", "price", "currency", "phash")


def exact_edges(cfg: EvidenceConfig, described: DataFrame) -> DataFrame:
    """Return edges between listings of one ``catalog_id``, or with the same photo file and the same title.

    Each group is a star around its smallest listing_id, so there are fewer edges than listings. A catalog_id of more
    than ``catalog_id.max_listings`` listings names no product.
    """
    same = _star(described.where(F.col("plain") != ""), ["photo", "plain"], "same_photo_and_title")
    shop = _star(described, ["catalog_id"], CATALOG_ID).where(F.col("size") <= cfg.catalog_id.max_listings)
    return shop.unionByName(same).drop("size")


def crowded_catalog_ids(cfg: EvidenceConfig, described: DataFrame) -> int:
    """Return how many values of catalog_id occur in more than ``catalog_id.max_listings`` listings."""
    sizes = described.where(F.col("catalog_id").isNotNull()).groupBy("catalog_id").agg(F.count("*").alias("size"))
    return sizes.where(F.col("size") > cfg.catalog_id.max_listings).count()


def near_edges(cfg: EvidenceConfig, pairs: DataFrame, described: DataFrame, terms: TermStatistics) -> DataFrame:
    """Return the edges among candidate ``pairs`` (left, right, coded): the first rule that holds is the evidence.

    Titles and facts are compared in Spark; only undecided pairs with a listing that names no model go to Python, which
    computes how likely their facts agree by chance.
    """
    compared = pairs.join(_side(described, "left"), "left").join(_side(described, "right"), "right")
    compared = compared.where(~_contradicted(cfg))
    compared = compared.withColumn("shared", _shared()).withColumn("distance", _distance())
    compared = compared.withColumn("similarity", _similarity()).where(
        ~_other_category() | _at_least(cfg.contradiction.min_title_similarity)
    )
    compared = compared.withColumn("evidence", _evidence(cfg, terms.listings))
    decided = compared.where(F.col("evidence").isNotNull())
    undecided = compared.where(F.col("evidence").isNull() & ~_both_name())
    found = agreeing(cfg, undecided, terms).withColumn("evidence", F.lit(SAME_FACTS))
    columns = ["left", "right", "evidence", "similarity"]
    return decided.select(*columns).unionByName(found.select(*columns)).select("left", "right", "evidence", _weight())


def _star(listings: DataFrame, keys: list[str], evidence: str) -> DataFrame:
    known = listings.where(reduce(lambda one, two: one & two, [F.col(key).isNotNull() for key in keys]))
    same = Window.partitionBy(*keys)
    centre, size = F.min("listing_id").over(same), F.count("*").over(same)
    pairs = known.select(centre.alias("left"), F.col("listing_id").alias("right"), size.alias("size"))
    facts = [F.lit(evidence).alias("evidence"), F.lit(weight(evidence, 1.0)).alias("weight")]
    return pairs.where(F.col("left") != F.col("right")).select("left", "right", *facts, "size")


def _side(described: DataFrame, side: str) -> DataFrame:
    return described.select(F.col("listing_id").alias(side), *[F.col(name).alias(f"{side}_{name}") for name in _SIDE])


def _evidence(cfg: EvidenceConfig, listings: int) -> Column:
    similar, distance = F.col("similarity"), F.coalesce("distance", F.lit(64))
    price = F.coalesce((_price_ratio() <= cfg.near_photo.max_price_ratio), F.lit(False))
    near = (distance <= cfg.near_photo.max_distance) & (similar >= cfg.near_photo.min_title_similarity) & price
    # "juice" and "juice river 330" may be one product or two: a title that names no model proves nothing alone, and
    # equal titles of common words prove as little where prices differ or cannot be compared
    alike = (F.size("left_numbers") > 0) == (F.size("right_numbers") > 0)
    priced = F.col("left_price").isNotNull() & F.col("right_price").isNotNull()
    surprising = (F.col("shared") >= _TITLE_FACTOR * SCALE * math.log(max(listings, 1) / cfg.chance)) & (
        price | ~priced
    )
    return (
        F.when(F.col("coded") & (similar >= cfg.same_code.min_title_similarity), F.lit("same_code"))
        .when((distance == 0) & (similar >= cfg.same_photo.min_title_similarity), F.lit("same_photo"))
        .when(near, F.lit("near_photo_and_title"))
        .when((similar >= cfg.near_title.min_similarity) & alike & (_both_name() | surprising), F.lit(NEAR_TITLE))
    )


def _both_name() -> Column:
    return (F.size("left_numbers") > 0) & (F.size("right_numbers") > 0)


def _other_category() -> Column:
    return F.coalesce(F.col("left_category") != F.col("right_category"), F.lit(False))


def _at_least(similarity: float) -> Column:
    return F.col("similarity") >= similarity


def _shared() -> Column:
    mask = (1 << WEIGHT_BITS) - 1
    both = F.array_intersect("left_words", "right_words")
    return F.aggregate(both, F.lit(0).cast("bigint"), lambda total, word: total + word.bitwiseAND(F.lit(mask)))


def _similarity() -> Column:
    """Return the weighted Jaccard similarity of the two titles' words."""
    either = F.col("left_total") + F.col("right_total") - F.col("shared")
    return F.when(either > 0, F.col("shared") / either).otherwise(F.lit(0.0))


def _weight() -> Column:
    ranks = F.create_map(*[part for kind in KINDS for part in (F.lit(kind), F.lit(len(KINDS) - 1 - KINDS.index(kind)))])
    return F.round((ranks[F.col("evidence")] + F.col("similarity")) / len(KINDS), 6).alias("weight")


def _distance() -> Column:
    return F.bit_count(F.col("left_phash").bitwiseXOR(F.col("right_phash")))


def _price_ratio() -> Column:
    # greatest and least skip nulls: a price must not be compared with itself where the other is missing
    known = (F.col("left_price") > 0) & (F.col("right_price") > 0)
    higher, lower = F.greatest("left_price", "right_price"), F.least("left_price", "right_price")
    return F.when(known & (F.col("left_currency") == F.col("right_currency")), higher / lower)


def _contradicted(cfg: EvidenceConfig) -> Column:
    """Return whether a fact contradicts that the two are one product: brand, an attribute, the price, a number."""
    # both state a fact of the same name with different values
    differs = F.size(F.array_intersect("left_named", "right_named")) > F.size(
        F.array_intersect("left_facts", "right_facts")
    )
    price = F.coalesce(_price_ratio() > cfg.contradiction.max_price_ratio, F.lit(False))
    # "orbit 513, 750 ml" and "nova 204, 750 ml": neither one's model is among the other's numbers
    model = F.array_contains("right_numbers", F.get("left_numbers", 0)) | F.array_contains(
        "left_numbers", F.get("right_numbers", 0)
    )
    return (_both_name() & ~model) | price | differs
