"""Find what sellers write around the names of products: from how often it stands at the edges of titles, by no list.

A phrase is a seller's own when it is in most of that seller's titles, whatever the category and the brand. It is a
promotion when many sellers write it in most categories for many brands, and no word of it is a brand, a category or
an attribute's value: "red" is at the edge of many titles too. Counting is one pass over the edges of all titles;
what is rare is dropped before anything else is asked.
"""

from __future__ import annotations

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ecclip.catalog._phrases import LEFT, RIGHT
from ecclip.core import StageConfig

BOILERPLATE_COLUMNS = ("seller_id", "phrase", "kind", "listings", "share", "categories", "brands")
OWN, PROMOTION = "seller", "promotion"
_ALL = 1 << 30


class BoilerplateConfig(StageConfig):
    """When words at the edge of a title say nothing about the product."""

    phrase_words: int = Field(5, ge=1, description="words of the longest phrase that is looked for at a title's edge")
    phrase_listings: int = Field(20, ge=2, description="a seller with fewer titles is not judged")
    phrase_categories: int = Field(3, ge=1, description="a phrase of fewer categories may name a product")
    phrase_brands: int = Field(3, ge=0, description="a phrase of fewer brands may name one")
    seller_phrase_share: float = Field(
        0.5, gt=0, le=1, description="share of its titles that a seller's own phrase has"
    )
    promotion_phrase_share: float = Field(
        0.1, gt=0, le=1, description="share of a seller's titles that a promotion has"
    )
    promotion_sellers: int = Field(5, ge=2, description="a promotion is written by this many sellers")
    promotion_seller_share: float = Field(0.3, gt=0, le=1, description="... and by this share of the judged sellers")
    promotion_category_share: float = Field(0.5, gt=0, le=1, description="... in this share of all categories")


def edge_phrases(title: str, longest: int) -> Column:
    """Return the phrases at both edges of the column ``title``; the same as ``edges_of`` in Python."""
    words = _words(F.col(title))
    left = [F.concat(F.lit(LEFT), F.concat_ws(" ", F.slice(words, 1, n))) for n in range(1, longest + 1)]
    right = [F.concat(F.lit(RIGHT), F.concat_ws(" ", F.slice(words, -n, n))) for n in range(1, longest + 1)]
    count = F.least(F.size(words) - 1, F.lit(longest))
    return F.when(
        count > 0, F.concat(F.slice(F.array(*left), F.lit(1), count), F.slice(F.array(*right), F.lit(1), count))
    )


def boilerplate(cfg: BoilerplateConfig, titles: DataFrame) -> DataFrame:
    """Return the phrases to take away: ``seller_id`` (null: of every seller), phrase, kind and what speaks for it.

    ``titles`` has seller_id, title, category, brand and attributes.
    """
    written = titles.select(
        F.coalesce("seller_id", F.lit("")).alias("seller_id"),
        F.when(F.size("category") > 0, F.concat_ws("/", "category")).alias("category"),
        F.lower("brand").alias("brand"),
        F.explode(edge_phrases("title", cfg.phrase_words)).alias("phrase"),
    )
    sellers = titles.groupBy(F.coalesce("seller_id", F.lit("")).alias("seller_id")).agg(F.count("*").alias("titles"))
    sellers = sellers.where(F.col("titles") >= cfg.phrase_listings)
    counted = written.groupBy("seller_id", "phrase").agg(F.count("*").alias("listings"))
    least = min(cfg.promotion_phrase_share, cfg.seller_phrase_share)
    worded = counted.where((F.col("listings") >= least * cfg.phrase_listings) & F.col("phrase").rlike(r"\p{L}"))
    judged = worded.join(sellers, "seller_id").withColumn("share", F.col("listings") / F.col("titles"))
    frequent = judged.where(F.col("share") >= least).localCheckpoint()  # few rows; what follows asks for them again
    shared = _promotions(cfg, frequent, written, sellers.count(), titles)
    own = _own(cfg, frequent, written)
    return own.select(*BOILERPLATE_COLUMNS).union(shared.select(*BOILERPLATE_COLUMNS)).localCheckpoint()


def _own(cfg: BoilerplateConfig, frequent: DataFrame, written: DataFrame) -> DataFrame:
    keys = ["seller_id", "phrase"]
    found = _spread(cfg, frequent.where(F.col("share") >= cfg.seller_phrase_share), written, keys)
    found = _mostly_alone(found, keys, cfg.seller_phrase_share * F.col("titles"))
    return found.withColumns({"kind": F.lit(OWN), "share": F.round("share", 6)})


def _promotions(
    cfg: BoilerplateConfig, frequent: DataFrame, written: DataFrame, sellers: int, titles: DataFrame
) -> DataFrame:
    needed = max(cfg.promotion_sellers, cfg.promotion_seller_share * sellers)
    places = titles.where(F.size("category") > 0).select(F.countDistinct("category").alias("all")).first()
    shared = frequent.where(F.col("share") >= cfg.promotion_phrase_share).groupBy("phrase")
    counted = shared.agg(
        F.count("*").alias("sellers"), F.sum("listings").alias("listings"), F.avg("share").alias("share")
    )
    many = _of_no_product(counted.where(F.col("sellers") >= needed), titles)
    found = _spread(cfg, many, written, ["phrase"])
    found = found.where(F.col("categories") >= cfg.promotion_category_share * (places["all"] if places else 0))
    found = _mostly_alone(found, ["phrase"], F.col("listings") / 2)
    nobody = F.lit(None).cast("string")
    return found.withColumns({"seller_id": nobody, "kind": F.lit(PROMOTION), "share": F.round("share", 6)})


def _spread(cfg: BoilerplateConfig, phrases: DataFrame, written: DataFrame, keys: list[str]) -> DataFrame:
    """Keep the phrases that stand in enough categories and beside enough brands."""
    places = written.join(F.broadcast(phrases.select(*keys)), keys).groupBy(*keys)
    seen = places.agg(F.countDistinct("category").alias("categories"), F.countDistinct("brand").alias("brands"))
    enough = (F.col("categories") >= cfg.phrase_categories) & (F.col("brands") >= cfg.phrase_brands)
    return phrases.join(seen.where(enough), keys).localCheckpoint()


def _mostly_alone(found: DataFrame, keys: list[str], least: Column) -> DataFrame:
    """Keep the phrases that at least ``least`` listings have without the next word of a longer one that was found.

    "free" is in most titles because "free shipping" is: alone it may be the first word of a name.
    """
    words = F.split(F.substring("phrase", 2, _ALL), " ")
    rest = F.when(F.col("phrase").startswith(LEFT), F.slice(words, F.lit(1), F.size(words) - 1))
    rest = rest.otherwise(F.slice(words, F.lit(2), F.size(words) - 1))
    shorter = F.concat(F.substring("phrase", 1, 1), F.concat_ws(" ", rest)).alias("phrase")
    longer = found.select(*keys[:-1], shorter, "listings").groupBy(*keys).agg(F.sum("listings").alias("longer"))
    joined = found.join(longer, keys, "left")
    return joined.where(F.col("listings") - F.coalesce("longer", F.lit(0)) >= least).drop("longer")


def _of_no_product(phrases: DataFrame, titles: DataFrame) -> DataFrame:
    """Leave out the phrases with a word that is one of a brand, a category or an attribute's value."""
    candidates = phrases.select("phrase", F.explode(_words(F.col("phrase"))).alias("word"))
    facts = F.concat_ws(" ", "brand", "category", F.map_values("attributes"))
    words = titles.select(F.explode(_words(facts)).alias("word"))
    named = words.join(F.broadcast(candidates.select("word").distinct()), "word").distinct()
    return phrases.join(candidates.join(named, "word").select("phrase").distinct(), "phrase", "left_anti")


def _words(text: Column) -> Column:
    plain = F.trim(F.regexp_replace(F.lower(text), r"[^\p{L}\p{M}\p{N}]+", " "))
    return F.filter(F.split(plain, " "), lambda word: word != "")
