"""Evidence that two listings are one product: pairs, what says so, and how strongly (0..1)."""

from __future__ import annotations

from functools import reduce

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ecclip.core import StageConfig

_RARE_TOKENS = 4


class EvidenceConfig(StageConfig):
    """When two listings count as one product."""

    photo_distance: int = Field(10, ge=0, le=32, description="largest Hamming distance of photo hashes (64 bits)")
    photo_title: float = Field(0.5, ge=0, le=1, description="least title similarity beside a near photo")
    title_alone: float = Field(0.8, ge=0, le=1, description="least title similarity without a near photo")
    price_ratio: float = Field(2.5, ge=1, description="prices of one currency further apart than this speak against it")
    bucket_cap: int = Field(200, ge=2, description="larger buckets of candidates are left out and counted")


def exact_edges(listings: DataFrame) -> DataFrame:
    """Return edges between listings of one ``catalog_id``, or with the same photo file and the same title.

    Each group is a star around its smallest listing_id, so there are fewer edges than listings.
    """
    titled = listings.where(F.col("plain") != "")
    same = _star(titled, ["photo", "plain"], "same_photo_and_title")
    return _star(listings, ["catalog_id"], "catalog_id").union(same)


def near_edges(cfg: EvidenceConfig, listings: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Return edges of near-duplicates and the buckets that were larger than ``bucket_cap``.

    Candidates share 16 bits of the photo hash, or 8 bits and the category, or two of their rarest title tokens. A pair
    becomes an edge when photo and title, or the title alone, are near enough and no fact speaks against it.
    """
    keyed = _photo_keys(listings).union(_title_keys(listings))
    sizes = keyed.groupBy("bucket").agg(F.count("*").alias("size")).where(F.col("size") > 1)
    kept = keyed.join(sizes.where(F.col("size") <= cfg.bucket_cap), "bucket")
    left = kept.select("bucket", F.col("listing_id").alias("left"))
    right = kept.select("bucket", F.col("listing_id").alias("right"))
    pairs = left.join(right, "bucket").where(F.col("left") < F.col("right")).select("left", "right").distinct()
    return _judged(cfg, pairs, listings), sizes.where(F.col("size") > cfg.bucket_cap)


def _star(listings: DataFrame, keys: list[str], evidence: str) -> DataFrame:
    known = listings.where(reduce(lambda one, two: one & two, [F.col(key).isNotNull() for key in keys]))
    centres = known.groupBy(*keys).agg(F.min("listing_id").alias("left"))
    pairs = known.join(centres, keys).where(F.col("left") != F.col("listing_id"))
    right = F.col("listing_id").alias("right")
    return pairs.select("left", right, F.lit(evidence).alias("evidence"), F.lit(1.0).alias("weight"))


def _photo_keys(listings: DataFrame) -> DataFrame:
    wide = [F.xxhash64(F.lit("16"), F.lit(band), _bits("phash", band * 16, 16)) for band in range(4)]
    narrow = [F.xxhash64(F.lit("8"), F.lit(band), _bits("phash", band * 8, 8), F.col("category")) for band in range(8)]
    photos = listings.where(F.col("phash").isNotNull())
    near = photos.select("listing_id", F.explode(F.array(*wide)).alias("bucket"))
    placed = photos.where(F.col("category").isNotNull())
    return near.union(placed.select("listing_id", F.explode(F.array(*narrow)).alias("bucket")))


def _bits(name: str, start: int, count: int) -> Column:
    return F.shiftrightunsigned(name, start).bitwiseAND(F.lit((1 << count) - 1))


def _title_keys(listings: DataFrame) -> DataFrame:
    telling = F.filter("words", lambda word: word["seen"] > 1)
    rarest = F.transform(
        F.slice(F.array_sort(F.transform(telling, _by_rarity)), 1, _RARE_TOKENS), lambda word: word["token"]
    )
    ordered = listings.select("listing_id", F.array_sort(rarest).alias("rare"))
    places = [(one, two) for one in range(1, _RARE_TOKENS) for two in range(one + 1, _RARE_TOKENS + 1)]
    keys = [
        F.when(
            F.size("rare") >= two,
            F.xxhash64(F.lit("t"), F.try_element_at("rare", F.lit(one)), F.try_element_at("rare", F.lit(two))),
        )
        for one, two in places
    ]
    exploded = ordered.select("listing_id", F.explode(F.array(*keys)).alias("bucket"))
    return exploded.where(F.col("bucket").isNotNull())


def _by_rarity(word: Column) -> Column:
    return F.struct(word["seen"].alias("seen"), word["token"].alias("token"))


def _judged(cfg: EvidenceConfig, pairs: DataFrame, listings: DataFrame) -> DataFrame:
    compared = pairs.join(_side(listings, "left"), "left").join(_side(listings, "right"), "right")
    compared = compared.where(~_contradicted(cfg)).select(
        "left", "right", _title_similarity().alias("similarity"), _distance().alias("distance")
    )
    near_photo = F.coalesce(F.col("distance") <= cfg.photo_distance, F.lit(False))
    evidence = F.when(near_photo & (F.col("similarity") >= cfg.photo_title), F.lit("near_photo_and_title")).when(
        F.col("similarity") >= cfg.title_alone, F.lit("near_title")
    )
    weight = F.round(F.col("similarity"), 6)
    return compared.select("left", "right", evidence.alias("evidence"), weight.alias("weight")).where(
        F.col("evidence").isNotNull()
    )


def _side(listings: DataFrame, side: str) -> DataFrame:
    names = ["words", "tokens", "brand", "attributes", "price", "currency", "phash"]
    return listings.select(F.col("listing_id").alias(side), *[F.col(name).alias(f"{side}_{name}") for name in names])


def _title_similarity() -> Column:
    """Return the weighted Jaccard similarity of the two titles' tokens."""
    shared = _sum(F.filter("left_words", lambda word: F.array_contains("right_tokens", word["token"])))
    either = _sum(F.col("left_words")) + _sum(F.col("right_words")) - shared
    return F.when(either > 0, shared / either).otherwise(F.lit(0.0))


def _sum(words: Column) -> Column:
    return F.coalesce(F.aggregate(words, F.lit(0.0), lambda total, word: total + word["weight"]), F.lit(0.0))


def _distance() -> Column:
    return F.bit_count(F.col("left_phash").bitwiseXOR(F.col("right_phash")))


def _contradicted(cfg: EvidenceConfig) -> Column:
    """Return whether a fact says that the two are different products: brand, an attribute, the price, a number."""
    brand = F.col("left_brand") != F.col("right_brand")
    names = F.map_keys("left_attributes")
    other = F.exists(names, lambda name: F.col("left_attributes")[name] != F.col("right_attributes")[name])
    higher, lower = F.greatest("left_price", "right_price"), F.least("left_price", "right_price")
    price = (F.col("left_currency") == F.col("right_currency")) & (higher > lower * cfg.price_ratio)
    numbers = [F.filter(f"{side}_words", _is_telling_number) for side in ("left", "right")]
    tokens = [F.transform(words, lambda word: word["token"]) for words in numbers]
    number = (F.size(tokens[0]) > 0) & (F.size(tokens[1]) > 0) & ~F.arrays_overlap(*tokens)
    return reduce(
        lambda one, two: one | two, [F.coalesce(fact, F.lit(False)) for fact in (brand, other, price, number)]
    )


def _is_telling_number(word: Column) -> Column:
    # numbers of many titles are slogans or sizes ("50%", "2024"), numbers of few are models
    return word["token"].rlike(r"\p{N}") & ((word["seen"] == 1) | (word["weight"] > F.lit(4.0)))
