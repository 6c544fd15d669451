"""The gate before cleaning: declared expectations on the night's aggregates, with a page that a person can read."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any, cast

from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog._expectations import Rule, judge
from ecclip.catalog._spark import spark_session
from ecclip.core import Counts, GateError, StageConfig, canonical_json, replace_folder, stage, write_atomic

_OPTIONAL = ("price", "photo")


class CheckConfig(StageConfig):
    """What a night's listings must keep."""

    min_listings: int = Field(1, ge=0, description="fewer listings than this are refused")
    max_volume_change: float = Field(
        0.5, ge=0, description="change of the number of listings against the previous night"
    )
    max_price: float = Field(1e7, gt=0, description="a price above this is implausible")
    max_implausible_prices: float = Field(0.01, ge=0, le=1, description="share of prices outside 0..max_price")
    max_missing_price: float = Field(0.5, ge=0, le=1, description="share of listings without a price")
    max_missing_category: float = Field(0.3, ge=0, le=1, description="share of listings without a category")
    max_missing_photo: float = Field(0.5, ge=0, le=1, description="share of listings that name no photo")
    max_category_depth: int = Field(8, ge=1, description="levels of a category path")
    max_title_characters: int = Field(2000, ge=1, description="a longer title is implausible")
    max_category_share: float = Field(0.8, ge=0, le=1, description="share of the largest category")
    parts: int = Field(2, ge=1, description="shuffle partitions")


@stage
def check(cfg: CheckConfig, ingested: Path, previous: Path, output: Path) -> Counts:
    """Judge a night by its expectations: ``verdict.json`` and ``data_docs/`` (HTML).

    Raises:
        GateError: an expectation fails. Verdict and data docs are then in ``<output>.refused/``.
    """
    facts = _facts(spark_session(cfg.parts, ingested), ingested / "listings").persist()
    try:
        rules = _rules(cfg, _previous_statistics(previous), _offered(facts))
        outcomes = judge(facts, rules, output / "data_docs")
    finally:
        facts.unpersist()
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    metrics = {outcome.name: outcome.value for outcome in outcomes}
    verdict = {"passed": not failed, "failed_expectations": failed, "metrics": metrics}
    write_atomic(output / "verdict.json", canonical_json(verdict))
    # the stage publishes nothing when it raises, so what a person has to read is put beside its place
    refused = output.with_name(_final_name(output) + ".refused")
    if failed:
        replace_folder(output, refused)
        raise GateError(
            f"the night's listings were refused: {', '.join(failed)}",
            value=", ".join(f"{name} = {metrics[name]}" for name in failed),
            limit=", ".join(f"{rule.name}: {rule.limit}" for rule in rules if rule.name in failed),
            next_step=f"read {refused / 'data_docs' / 'index.html'}; the previous snapshot stays current",
        )
    shutil.rmtree(refused, ignore_errors=True)
    return Counts(read={"listings": int(metrics["listings"] or 0)}, detail={"expectations": len(outcomes)})


def _final_name(output: Path) -> str:
    # a stage writes into .<name>.tmp-<pid> beside <name>
    return output.name.split(".tmp-")[0].lstrip(".")


def _previous_statistics(previous: Path) -> dict[str, Any] | None:
    if not (previous / "manifest.json").is_file():
        return None
    return cast(dict[str, Any], json.loads((previous / "statistics.json").read_text()))


def _offered(facts: DataFrame) -> set[str]:
    """Return the optional columns that have a value at all: a shop that exports no prices is not one that lost them."""
    counted = facts.agg(*(F.count(column).alias(column) for column in _OPTIONAL)).collect()[0]
    return {column for column in _OPTIONAL if counted[column]}


def _facts(spark: SparkSession, listings: Path) -> DataFrame:
    facts = spark.read.parquet(str(listings)).select(
        "listing_id",
        F.length("title").alias("title_characters"),
        F.when(F.size("category") > 0, F.concat_ws("/", "category")).alias("category"),
        F.when(F.size("category") > 0, F.size("category")).alias("category_depth"),
        "price",
        F.coalesce("image_uri", F.when(F.col("image").isNotNull(), F.lit("inside"))).alias("photo"),
    )
    total = facts.agg(F.count("*").alias("total"))
    shares = facts.groupBy("category").count().crossJoin(total)
    shares = shares.select("category", (F.col("count") / F.col("total")).alias("category_share"))
    return facts.join(shares, "category", "left")


def _rules(cfg: CheckConfig, previous: dict[str, Any] | None, offered: set[str]) -> list[Rule]:
    rules = [
        Rule.listings("listings", cfg.min_listings, None),
        Rule.unique("listing_id_repeated", "listing_id"),
        Rule.missing("title_missing", "title_characters", 0.0),
        Rule.outside("title_length", "title_characters", 1, cfg.max_title_characters, 0.01),
        Rule.missing("category_missing", "category", cfg.max_missing_category),
        Rule.outside("category_depth", "category_depth", 1, cfg.max_category_depth, 0.0),
        Rule.largest("category_largest_share", "category_share", cfg.max_category_share),
    ]
    known = {} if previous is None else previous["null_share"]
    if "price" in offered or known.get("price", 1.0) < 1.0:
        rules.append(Rule.missing("price_missing", "price", cfg.max_missing_price))
        rules.append(Rule.outside("price_implausible", "price", 0.0, cfg.max_price, cfg.max_implausible_prices))
    if "photo" in offered or known.get("image", 1.0) < 1.0:
        rules.append(Rule.missing("photo_missing", "photo", cfg.max_missing_photo))
    if previous is not None:
        listings = previous["listings"]
        low, high = listings * (1 - cfg.max_volume_change), listings * (1 + cfg.max_volume_change)
        rules.append(Rule.listings("volume_against_previous", math.ceil(low), math.floor(high)))
    return rules
