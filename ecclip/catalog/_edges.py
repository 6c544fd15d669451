"""Evidence that two listings are one product: pairs, what says so, and how strongly (0..1)."""

from __future__ import annotations

from functools import reduce

from pydantic import Field
from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from ecclip.core import StageConfig

_RARE_TOKENS = 4


class EvidenceConfig(StageConfig):
    """When two listings count as one product; every rule needs that no fact speaks against it."""

    code_listings: int = Field(20, ge=2, description="a model code of more titles than this is a size or a slogan")
    code_title: float = Field(0.2, ge=0, le=1, description="least title similarity beside a shared model code")
    same_photo_title: float = Field(0.2, ge=0, le=1, description="least title similarity beside an equal photo hash")
    near_photo_distance: int = Field(
        8, ge=0, le=32, description="largest Hamming distance of near photo hashes (64 bits)"
    )
    near_photo_title: float = Field(0.4, ge=0, le=1, description="least title similarity beside a near photo")
    near_photo_price: float = Field(1.2, ge=1, description="largest price ratio beside a near photo")
    title_alone: float = Field(0.8, ge=0, le=1, description="least title similarity without other evidence")
    category_title: float = Field(0.5, ge=0, le=1, description="least title similarity across two categories")
    price_ratio: float = Field(2.0, ge=1, description="a larger price ratio (in one currency) speaks against")
    bucket_cap: int = Field(200, ge=2, description="larger buckets of candidates are left out and counted")


def exact_edges(listings: DataFrame) -> DataFrame:
    """Return edges between listings of one ``catalog_id``, or with the same photo file and the same title.

    Each group is a star around its smallest listing_id, so there are fewer edges than listings.
    """
    titled = listings.where(F.col("plain") != "")
    same = _star(titled, ["photo", "plain"], "same_photo_and_title")
    return _star(listings, ["catalog_id"], "catalog_id").union(same)


def near_edges(cfg: EvidenceConfig, listings: DataFrame, oversized: Observation) -> DataFrame:
    """Return edges of near-duplicates; ``oversized`` counts the buckets of candidates larger than ``bucket_cap``.

    Candidates share a model code, 16 bits of the photo hash, 8 bits of it with brand and category, or two of their
    rarest title tokens. A pair becomes an edge by the first rule of :class:`EvidenceConfig` that holds.
    """
    keys = reduce(DataFrame.union, [_code_keys(listings), _photo_keys(listings), _title_keys(listings)])
    buckets = keys.groupBy("bucket").agg(F.sort_array(F.collect_set("listing_id")).alias("ids"))
    large = F.size("ids") > cfg.bucket_cap
    buckets = buckets.observe(oversized, F.count(F.when(large, F.lit(1))).alias("buckets"))
    kept = buckets.where((F.size("ids") > 1) & ~large).select("ids", F.posexplode("ids").alias("place", "left"))
    right = F.explode(F.slice("ids", F.col("place") + 2, F.size("ids"))).alias("right")
    return _judged(cfg, kept.select("left", right).distinct(), listings)


def _star(listings: DataFrame, keys: list[str], evidence: str) -> DataFrame:
    known = listings.where(reduce(lambda one, two: one & two, [F.col(key).isNotNull() for key in keys]))
    ids = known.groupBy(*keys).agg(F.sort_array(F.collect_set("listing_id")).alias("ids")).where(F.size("ids") > 1)
    right = F.explode(F.slice("ids", F.lit(2), F.size("ids"))).alias("right")
    pairs = ids.select(F.element_at("ids", 1).alias("left"), right)
    return pairs.select("left", "right", F.lit(evidence).alias("evidence"), F.lit(1.0).alias("weight"))


def _code_keys(listings: DataFrame) -> DataFrame:
    codes = listings.select("listing_id", F.explode("codes").alias("code"))
    return codes.select("listing_id", F.xxhash64(F.lit("code"), "code").alias("bucket"))


def _photo_keys(listings: DataFrame) -> DataFrame:
    wide = [F.xxhash64(F.lit("16"), F.lit(band), _bits(band * 16, 16)) for band in range(4)]
    placed = F.col("category").isNotNull() & F.col("brand").isNotNull()
    narrow = [F.xxhash64(F.lit("8"), F.lit(band), _bits(band * 8, 8), "category", "brand") for band in range(8)]
    photos = listings.where(F.col("phash").isNotNull())
    keys = F.concat(F.array(*wide), F.when(placed, F.array(*narrow)).otherwise(F.array()))
    return photos.select("listing_id", F.explode(keys).alias("bucket"))


def _bits(start: int, count: int) -> Column:
    return F.shiftrightunsigned("phash", start).bitwiseAND(F.lit((1 << count) - 1))


def _title_keys(listings: DataFrame) -> DataFrame:
    shared = F.filter("words", lambda word: word["seen"] > 1)
    ranked = F.array_sort(
        F.transform(shared, lambda word: F.struct(word["seen"].alias("seen"), word["text"].alias("text")))
    )
    rarest = F.array_sort(F.transform(F.slice(ranked, 1, _RARE_TOKENS), lambda word: word["text"]))
    rare = listings.select("listing_id", rarest.alias("rare"))
    places = [(one, two) for one in range(_RARE_TOKENS) for two in range(one + 1, _RARE_TOKENS)]
    keys = [
        F.when(F.size("rare") > two, F.xxhash64(F.lit("title"), F.get("rare", one), F.get("rare", two)))
        for one, two in places
    ]
    return _known(rare.select("listing_id", F.explode(F.array(*keys)).alias("bucket")))


def _known(keys: DataFrame) -> DataFrame:
    return keys.where(F.col("bucket").isNotNull())


def _judged(cfg: EvidenceConfig, pairs: DataFrame, listings: DataFrame) -> DataFrame:
    compared = pairs.join(_side(listings, "left"), "left").join(_side(listings, "right"), "right")
    compared = compared.where(~_contradicted(cfg)).withColumns({"similarity": _similarity(), "distance": _distance()})
    compared = compared.where(~_elsewhere() | (F.col("similarity") >= cfg.category_title))
    similar, distance = F.col("similarity"), F.coalesce("distance", F.lit(64))
    code = F.arrays_overlap("left_codes", "right_codes") & F.arrays_overlap("left_numbers", "right_numbers")
    price = F.coalesce((_price_ratio() <= cfg.near_photo_price), F.lit(False))
    near = (distance <= cfg.near_photo_distance) & (similar >= cfg.near_photo_title) & price
    # "juice" and "juice river 330" may be one product or two: a title that names no model proves nothing alone
    one_names = (F.size("left_numbers") > 0) != (F.size("right_numbers") > 0)
    evidence = (
        F.when(code & (similar >= cfg.code_title), F.lit("same_code"))
        .when((distance == 0) & (similar >= cfg.same_photo_title), F.lit("same_photo"))
        .when(near, F.lit("near_photo_and_title"))
        .when((similar >= cfg.title_alone) & ~one_names, F.lit("near_title"))
    )
    edges = compared.select("left", "right", evidence.alias("evidence"), F.round(similar, 6).alias("weight"))
    return edges.where(F.col("evidence").isNotNull())


def _elsewhere() -> Column:
    return F.coalesce(F.col("left_category") != F.col("right_category"), F.lit(False))


def _side(listings: DataFrame, side: str) -> DataFrame:
    names = ["words", "tokens", "codes", "numbers", "brand", "category", "attributes", "price", "currency", "phash"]
    return listings.select(F.col("listing_id").alias(side), *[F.col(name).alias(f"{side}_{name}") for name in names])


def _similarity() -> Column:
    """Return the weighted Jaccard similarity of the two titles' tokens."""
    shared = _sum(F.filter("left_words", lambda word: F.array_contains("right_tokens", word["text"])))
    either = _sum(F.col("left_words")) + _sum(F.col("right_words")) - shared
    return F.when(either > 0, shared / either).otherwise(F.lit(0.0))


def _sum(words: Column) -> Column:
    return F.coalesce(F.aggregate(words, F.lit(0.0), lambda total, word: total + word["weight"]), F.lit(0.0))


def _distance() -> Column:
    return F.bit_count(F.col("left_phash").bitwiseXOR(F.col("right_phash")))


def _price_ratio() -> Column:
    higher, lower = F.greatest("left_price", "right_price"), F.least("left_price", "right_price")
    comparable = (F.col("left_currency") == F.col("right_currency")) & (lower > 0)
    return F.when(comparable, higher / lower)


def _contradicted(cfg: EvidenceConfig) -> Column:
    """Return whether a fact says that the two are different products: brand, an attribute, the price, a number."""
    brand = F.col("left_brand") != F.col("right_brand")
    names = F.map_keys("left_attributes")
    differs = F.exists(names, lambda name: F.col("left_attributes")[name] != F.col("right_attributes")[name])
    price = _price_ratio() > cfg.price_ratio
    both = (F.size("left_numbers") > 0) & (F.size("right_numbers") > 0)
    number = both & ~F.arrays_overlap("left_numbers", "right_numbers")
    return reduce(
        lambda one, two: one | two, [F.coalesce(fact, F.lit(False)) for fact in (brand, differs, price, number)]
    )
