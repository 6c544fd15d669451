"""The gate before cleaning: declared rules and shift tests on the night's listings, with a report page."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ecclip.catalog.dump.contract import DUMP_FIELDS
from ecclip.catalog.gate.expectations import Rule, Table, validate, validate_row
from ecclip.catalog.gate.facts import measured, night_facts
from ecclip.catalog.gate.history import NightFacts, read_history, write_facts
from ecclip.catalog.gate.label_shift import is_one_of_many
from ecclip.catalog.gate.shift import RELEASED, Shift, ShiftConfig, shifts
from ecclip.catalog.gate.suites import keep_suites, read_suites, suite_tables
from ecclip.catalog.gate.verdict import accept_shifts, shift_table, write_verdict
from ecclip.catalog.spark.session import spark_session
from ecclip.core import Counts, StageConfig, stage

_OPTIONAL = ("price", "photo")
# columns of `measured` rows that stand for a field in a rule
_MEASURED = {"title": "title_characters"}


class CheckConfig(StageConfig):
    """What a night's listings must keep; limits by judgment: a shop tightens them to its own data (docs/gate.md)."""

    shift: ShiftConfig = Field(ShiftConfig(), description="how far a night may be from the last good nights")
    min_listings: int = Field(1, ge=0, description="fewer listings than this are refused")
    max_price: float = Field(1e7, gt=0, description="a price above this is implausible")
    max_implausible_prices: float = Field(0.01, ge=0, le=1, description="share of prices outside 0..max_price")
    max_missing_price: float = Field(0.5, ge=0, le=1, description="share of listings without a price")
    max_missing_category: float = Field(0.3, ge=0, le=1, description="share of listings without a category")
    max_missing_photo: float = Field(0.5, ge=0, le=1, description="share of listings that name no photo")
    max_category_share: float = Field(0.8, ge=0, le=1, description="share of the largest category")
    parts: int = Field(2, ge=1, description="shuffle partitions")


@stage
def check(cfg: CheckConfig, ingested: Path, previous: Path, expectations: Path, output: Path) -> Counts:
    """Check a night against declared rules, the shop's own ``expectations`` and recent accepted nights.

    It leaves ``verdict.json``, ``facts.json``, ``data_docs/`` and the shop's suites as they were.

    Raises:
        GateError: a rule fails. Verdict and data docs are then in ``<output>.refused/``.
        ConfigError: a file of expectations is broken; the message has file and line.
        IntegrityError: the previous snapshot carries no history.
    """
    history, suites = read_history(previous), read_suites(expectations)
    spark = spark_session(cfg.parts, ingested)
    rows = measured(spark, ingested).persist()
    try:
        tonight = night_facts(rows, ingested)
        found = [shift for shift in shifts(cfg.shift, tonight, history) if not shift.name.startswith(RELEASED)]
        tonight = tonight.model_copy(update={"accepted": accept_shifts(cfg.shift, tonight, found)})
        write_facts(output, tonight)
        keep_suites(suites, output)
        # a line for every label would bury what was refused, and each hundred lines take a second
        usual = [shift for shift in found if is_one_of_many(shift.name) and not shift.outside]
        listed = [shift for shift in found if shift not in usual]
        tables = [Table("listings", rows, _declared(cfg, tonight, history)), _metrics(cfg, tonight, listed)]
        tables += suite_tables(suites, spark, ingested)
        labels = shift_table(usual, tonight.accepted, {}, [])
        outcomes = [*validate(tables, output / "data_docs"), *validate_row(labels)]
        tables.append(labels)
        rules = write_verdict(tables, outcomes, found, tonight, output, "the night's listings were")
    finally:
        rows.unpersist()
    return Counts(
        read={"listings": tonight.listings},
        detail={"expectations": rules, "history": len(history), "fingerprint": tonight.fingerprint},
    )


def _metrics(cfg: CheckConfig, tonight: NightFacts, found: list[Shift]) -> Table:
    categories = tonight.distributions["category"]
    largest = max(categories.values(), default=0) / max(tonight.listings, 1)
    rule = Rule.within("category_largest_share", None, cfg.max_category_share)
    return shift_table(found, tonight.accepted, {rule.name: round(largest, 6)}, [rule])


def _declared(cfg: CheckConfig, tonight: NightFacts, history: list[NightFacts]) -> list[Rule]:
    """Return what the contract and the configuration declare, whatever the nights before were."""
    rules = [Rule.listings("listings", cfg.min_listings, None)]
    for field in DUMP_FIELDS:
        if field.unique:
            rules.append(Rule.unique(f"{field.name}_repeated", field.name))
        if field.required:
            rules.append(Rule.missing(f"{field.name}_missing", _MEASURED.get(field.name, field.name), 0.0))
    rules += [
        Rule.missing("category_missing", "category", cfg.max_missing_category),
    ]
    # a shop that never exported prices or photos cannot have lost them
    offered = {name: any(night.shares[f"missing/{name}"] < 1 for night in (tonight, *history)) for name in _OPTIONAL}
    if offered["price"]:
        rules.append(Rule.missing("price_missing", "price", cfg.max_missing_price))
        rules.append(Rule.outside("price_implausible", "price", 0.0, cfg.max_price, cfg.max_implausible_prices))
    if offered["photo"]:
        rules.append(Rule.missing("photo_missing", "photo", cfg.max_missing_photo))
    return rules
