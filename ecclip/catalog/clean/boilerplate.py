"""Find boilerplate that sellers put around product names, by how often it occurs at the edges of titles; no word list.

A phrase is a seller's own when it is in most of that seller's titles, whatever the category and the brand. It is a
promotion when many sellers write it in most categories for many brands. Neither is it when the brand, the category or
the attributes of its listings say the same word: "red" is at the edge of many titles too.

Counting is one pass over the edges of all titles; only phrases that are frequent for a seller come to one place, and a
second pass asks for their categories, brands and facts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from pydantic import Field
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ecclip.catalog.clean.phrases import LEFT, RIGHT
from ecclip.core import StageConfig

OWN, PROMOTION = "seller", "promotion"
BOILERPLATE_SCHEMA = (
    "seller_id string, phrase string, kind string, listings bigint, share double, categories bigint, brands bigint"
)
_ALL = ""  # stands for "every title" among the phrases


class Phrase(NamedTuple):
    """A phrase to remove, for one seller or (None) for all, with its evidence."""

    seller_id: str | None
    phrase: str
    kind: str
    listings: int
    share: float
    categories: int
    brands: int


class BoilerplateConfig(StageConfig):
    """When words at the edge of a title say nothing about the product; defaults by judgment."""

    phrase_words: int = Field(5, ge=1, description="longest phrase that is searched for at a title's edge, words")
    phrase_listings: int = Field(20, ge=2, description="a seller with fewer titles is not examined")
    phrase_categories: int = Field(3, ge=1, description="a phrase of fewer categories may name a product")
    phrase_brands: int = Field(3, ge=0, description="a phrase of fewer brands may name one")
    phrase_facts: float = Field(
        0.05, gt=0, le=1, description="share of its listings whose brand, category or attributes have a word of it"
    )
    seller_phrase_share: float = Field(
        0.5, gt=0, le=1, description="share of its titles that a seller's own phrase has"
    )
    promotion_phrase_share: float = Field(
        0.1, gt=0, le=1, description="share of a seller's titles that a promotion has"
    )
    promotion_sellers: int = Field(5, ge=2, description="a promotion is written by this many sellers")
    promotion_seller_share: float = Field(0.3, gt=0, le=1, description="... and by this share of the examined sellers")
    promotion_category_share: float = Field(0.5, gt=0, le=1, description="... in this share of all categories")


def edge_phrases(title: str, longest: int) -> Column:
    """Return the phrases at both edges of the column ``title``; the same as ``edges_of`` in Python."""

    def edges(words: Column) -> Column:
        lengths = F.slice(F.sequence(F.lit(1), F.greatest(F.size(words) - 1, F.lit(1))), 1, longest)
        left = F.transform(lengths, lambda n: F.concat(F.lit(LEFT), F.concat_ws(" ", F.slice(words, F.lit(1), n))))
        right = F.transform(lengths, lambda n: F.concat(F.lit(RIGHT), F.concat_ws(" ", F.slice(words, -n, n))))
        return F.when(F.size(words) > 1, F.concat(left, right)).otherwise(F.array().cast("array<string>"))

    # in a list of one, so that the words are made once and not for each place that asks for them
    return F.flatten(F.transform(F.array(_words(F.col(title))), edges))


class _Found(NamedTuple):
    kind: str
    listings: int
    share: float
    titles: int


class _Spread(NamedTuple):
    categories: int
    brands: int
    facts: float


_Key = tuple[str | None, str]


def boilerplate(cfg: BoilerplateConfig, titles: DataFrame) -> list[Phrase]:
    """Return the phrases to remove, in order.

    ``titles`` has seller_id (null counts as one seller of no name), title, category, brand and attributes.
    """
    phrases = F.coalesce(edge_phrases("title", cfg.phrase_words), F.array().cast("array<string>"))
    written = titles.select(
        F.coalesce("seller_id", F.lit("")).alias("seller"),
        F.when(F.size("category") > 0, F.concat_ws("/", "category")).alias("category"),
        F.lower("brand").alias("brand"),
        _words(F.concat_ws(" ", "brand", "category", F.map_values("attributes"))).alias("facts"),
        F.explode(F.concat(F.array(F.lit(_ALL)), phrases)).alias("phrase"),
    )
    found = _candidates(cfg, written)
    spread = _spread(written, [*found, (None, _ALL)])
    places = spread[None, _ALL].categories if found else 0
    kept = {key: one for key, one in found.items() if _is_spread(cfg, one, spread[key], places)}
    longer: Counter[_Key] = Counter()
    for (seller, phrase), one in kept.items():
        longer[seller, _shorter(phrase)] += one.listings
    alone = [key for key, one in kept.items() if one.listings - longer[key] >= _least(cfg, one)]
    return sorted(
        (_phrase(key, kept[key], spread[key]) for key in alone),
        key=lambda one: (one.phrase, one.seller_id or ""),
    )


def _candidates(cfg: BoilerplateConfig, written: DataFrame) -> dict[_Key, _Found]:
    """Return the phrases that are frequent enough for one seller, and those that are for enough sellers."""
    counted = written.groupBy("seller", "phrase").agg(F.count("*").alias("listings"))
    least = min(cfg.promotion_phrase_share, cfg.seller_phrase_share)
    is_all = F.col("phrase") == _ALL
    often = counted.where(
        is_all | ((F.col("listings") >= least * cfg.phrase_listings) & F.col("phrase").rlike(r"\p{L}"))
    )
    titles = F.max(F.when(is_all, F.col("listings"))).over(Window.partitionBy("seller"))
    examined = often.withColumn("titles", titles).where(F.col("titles") >= cfg.phrase_listings)
    rows = examined.where(is_all | (F.col("listings") >= least * F.col("titles"))).collect()
    own: dict[_Key, _Found] = {}
    shared: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        share = row["listings"] / row["titles"]
        if share >= cfg.seller_phrase_share:
            own[row["seller"], row["phrase"]] = _Found(OWN, row["listings"], round(share, 6), row["titles"])
        if share >= cfg.promotion_phrase_share:
            shared[row["phrase"]].append((row["listings"], row["titles"]))
    needed = max(cfg.promotion_sellers, cfg.promotion_seller_share * len(shared.pop(_ALL, [])))
    many = {(None, phrase): _promotion(uses) for phrase, uses in shared.items() if len(uses) >= needed}
    return {key: one for key, one in own.items() if key[1] != _ALL} | many


def _promotion(uses: list[tuple[int, int]]) -> _Found:
    listings, titles = (sum(counts) for counts in zip(*uses, strict=True))
    return _Found(PROMOTION, listings, round(listings / titles, 6), titles)


def _phrase(key: _Key, found: _Found, spread: _Spread) -> Phrase:
    return Phrase(*key, found.kind, found.listings, found.share, spread.categories, spread.brands)


def _spread(written: DataFrame, keys: list[_Key]) -> dict[_Key, _Spread]:
    """Return for each phrase how many categories and brands it stands in, and the share whose facts say the same."""
    if len(keys) == 1:
        return {}
    wanted = written.sparkSession.createDataFrame(keys, "of string, wanted string")
    mine = (F.col("phrase") == F.col("wanted")) & (F.col("of").isNull() | (F.col("of") == F.col("seller")))
    words = F.split(F.expr("substring(phrase, 2)"), " ")
    seen = written.join(F.broadcast(wanted), mine).groupBy("of", "wanted")
    rows = seen.agg(
        F.size(F.collect_set("category")).alias("categories"),
        F.size(F.collect_set("brand")).alias("brands"),
        F.avg(F.arrays_overlap(words, "facts").cast("int")).alias("facts"),
    ).collect()
    return {(row["of"], row["wanted"]): _Spread(row["categories"], row["brands"], row["facts"] or 0.0) for row in rows}


def _is_spread(cfg: BoilerplateConfig, found: _Found, spread: _Spread, places: int) -> bool:
    share = cfg.promotion_category_share if found.kind == PROMOTION else 0.0
    many = spread.categories >= max(cfg.phrase_categories, share * places) and spread.brands >= cfg.phrase_brands
    return many and spread.facts < cfg.phrase_facts


def _least(cfg: BoilerplateConfig, found: _Found) -> float:
    # "free" is in most titles because "free shipping" is: alone it may be the first word of a name
    return cfg.seller_phrase_share * found.titles if found.kind == OWN else found.listings / 2


def _shorter(phrase: str) -> str:
    words = phrase[1:].split(" ")
    return phrase[0] + " ".join(words[:-1] if phrase[0] == LEFT else words[1:])


def _words(text: Column) -> Column:
    plain = F.trim(F.regexp_replace(F.lower(text), r"[^\p{L}\p{M}\p{N}]+", " "))
    return F.filter(F.split(plain, " "), lambda word: word != "")
