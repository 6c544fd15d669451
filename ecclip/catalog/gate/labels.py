"""What listings are labelled with: the share of every label, and how far it depends on one seller."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.gate.history import LabelShare
from ecclip.formats.snapshot import LISTINGS

LABELLED = "labelled"
AGE = "label/age_restricted"
CATEGORY, ATTRIBUTE = "label/category/", "label/attribute/"
_ONE_OF_MANY = 0.2  # a larger seller is the shop itself and cannot be left out; by judgment
_MOST_LABELS = 1000  # the most frequent ones; bounds the history
_LETTERS = 120  # characters of a label's text that are kept; bounds the history


def label_shares(spark: SparkSession, ingested: Path, total: int) -> dict[str, LabelShare]:
    """Return the share of the listings that have each label, the most frequent labels only.

    Labels are age restriction, each category, each name of an attribute and each of its values; ``labelled`` is the
    share of listings with any label at all, and always there.
    """
    listings = spark.read.parquet(str(ingested / LISTINGS)).select(
        F.coalesce("seller_id", F.lit("")).alias("seller"), _labels().alias("labels")
    )
    sellers = listings.groupBy("seller").agg(F.count("*").alias("rows"))
    small = sellers.where(F.col("rows") <= _ONE_OF_MANY * total)
    largest = (small.agg(F.max("rows")).collect()[0][0]) or 0
    found = {LABELLED: LabelShare(share=0.0, low=0.0, high=0.0)}
    for row in _counted(listings, small).collect():
        rest = max(total - int(row["most_rows"] or 0), 1)
        found[row["label"]] = LabelShare(
            share=round(row["listings"] / total, 6),
            low=round(min(row["listings"] / total, (row["listings"] - int(row["most"] or 0)) / rest), 6),
            high=round(min(row["listings"] / max(total - largest, 1), 1.0), 6),
        )
    return dict(sorted(found.items()))


def _counted(listings: DataFrame, small: DataFrame) -> DataFrame:
    """Return label, listings, and for the small seller with most of them: its listings with the label, and in all."""
    own = listings.select("seller", F.explode("labels").alias("label")).groupBy("label", "seller").count()
    joined = own.join(small, "seller", "left")
    most = F.max(F.when(F.col("rows").isNotNull(), F.struct("count", "rows")))
    counted = joined.groupBy("label").agg(F.sum("count").alias("listings"), most.alias("top"))
    ranked = counted.orderBy(F.desc("listings"), "label").limit(_MOST_LABELS)
    return ranked.select("label", "listings", F.col("top.count").alias("most"), F.col("top.rows").alias("most_rows"))


def _labels() -> Column:
    """Return the labels of a listing, each once."""
    none = F.array().cast("array<string>")
    path = F.when(F.size("category") > 0, F.array(_named(CATEGORY, F.concat_ws("/", "category")))).otherwise(none)
    age = F.when(F.col("age_restricted"), F.array(F.lit(AGE))).otherwise(none)
    pairs = F.coalesce(F.map_entries("attributes"), F.array().cast("array<struct<key:string,value:string>>"))
    names = F.transform(pairs, lambda pair: _named(ATTRIBUTE, pair["key"]))
    values = F.transform(
        F.filter(pairs, lambda pair: pair["value"].isNotNull()),
        lambda pair: _named(ATTRIBUTE, F.concat(pair["key"], F.lit("="), pair["value"])),
    )
    any_label = (F.size("category") > 0) | (F.size(pairs) > 0) | F.col("age_restricted").isNotNull()
    labelled = F.when(any_label, F.array(F.lit(LABELLED))).otherwise(none)
    return F.array_distinct(F.concat(labelled, age, path, names, values))


def _named(kind: str, label: Column) -> Column:
    return F.concat(F.lit(kind), F.substring(label, 1, _LETTERS))
