"""Great Expectations behind one function: frames with their rules in, outcomes and readable data docs out."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MOMENT = re.compile(r"20[0-9]{6}T[0-9]{6}\.[0-9]{6}Z|20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-9:.+]{8,}")
_UNPLAIN = re.compile(r"[^\w .,:;()/+@=-]")
_LONGEST = 500  # characters of what a shop's own expectation observed
_NO_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)  # instead of the time of the run: equal nights give equal pages


@dataclass(frozen=True)
class Rule:
    """One expectation: the name that the verdict uses, its limit as text, which of its results is the metric.

    A shop's own is ``built`` already and shows whatever it observed; one that only ``warns`` refuses no night.
    """

    name: str
    kind: str
    arguments: dict[str, Any]
    limit: str
    metric: str
    built: Any = None
    warns: bool = False

    @classmethod
    def listings(cls, name: str, low: int, high: int | None) -> Rule:
        """Return the rule that the number of rows lies in ``low..high``."""
        arguments = {"min_value": low, "max_value": high}
        return cls(name, "ExpectTableRowCountToBeBetween", arguments, f"{low}..{high or ''}", "observed_value")

    @classmethod
    def unique(cls, name: str, column: str) -> Rule:
        """Return the rule that no value of a column occurs twice."""
        return cls(name, "ExpectColumnValuesToBeUnique", {"column": column}, "0", "unexpected_count")

    @classmethod
    def missing(cls, name: str, column: str, share: float) -> Rule:
        """Return the rule that at most a share of a column is null."""
        arguments = {"column": column, "mostly": 1 - share}
        return cls(name, "ExpectColumnValuesToNotBeNull", arguments, f"{share:.2%}", "unexpected_percent")

    @classmethod
    def outside(cls, name: str, column: str, low: float, high: float, share: float) -> Rule:
        """Return the rule that at most a share of a column's values lies outside ``low..high``."""
        arguments = {"column": column, "min_value": low, "max_value": high, "mostly": 1 - share}
        limit = f"{share:.2%} outside {low}..{high}"
        return cls(name, "ExpectColumnValuesToBeBetween", arguments, limit, "unexpected_percent")

    @classmethod
    def largest(cls, name: str, column: str, high: float) -> Rule:
        """Return the rule that the maximum of a column is at most ``high``."""
        arguments = {"column": column, "max_value": high}
        return cls(name, "ExpectColumnMaxToBeBetween", arguments, f"{high}", "observed_value")

    @classmethod
    def within(cls, name: str, low: float | None, high: float | None) -> Rule:
        """Return the rule that the one value of the column with the rule's name lies in ``low..high``."""
        arguments = {"column": name, "min_value": low, "max_value": high}
        limit = f"{'' if low is None else low}..{'' if high is None else high}"
        return cls(name, "ExpectColumnMaxToBeBetween", arguments, limit, "observed_value")


@dataclass(frozen=True)
class Table:
    """A frame (Spark or pandas) under the name that the data docs give it, and the rules that it must keep."""

    name: str
    frame: Any
    rules: list[Rule]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a rule: passed or not, and the value that was compared, as text where it is no number."""

    name: str
    passed: bool
    value: float | str | None


def validate(tables: Sequence[Table], docs: Path) -> list[Outcome]:
    """Validate every table by its rules with Great Expectations and write one site of data docs to ``docs``."""
    gx, base, run_identifier = great_expectations()
    # the default configuration leaves a temporary folder for docs behind
    stores = base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    project = base.DataContextConfig(
        store_backend_defaults=stores, progress_bars=base.ProgressBarsConfig(globally=False), analytics_enabled=False
    )
    context = gx.get_context(mode="ephemeral", project_config=project)
    context.add_data_docs_site("docs", _site(docs))
    moment = run_identifier.RunIdentifier(run_name="night", run_time=_NO_MOMENT)
    outcomes = [outcome for table in tables for outcome in _validate_table(gx, context, _plain_table(table), moment)]
    context.build_data_docs()
    _make_repeatable(docs)
    names = [rule.name for table in tables for rule in table.rules]
    return [replace(outcome, name=name) for name, outcome in zip(names, outcomes, strict=True)]


def plain(name: str) -> str:
    """Return a name that may come from a dump (a currency, a category, an attribute) as the data docs can show it.

    They put names into HTML and into templates as they are: letters and digits of any script stay, whatever could be
    markup or a placeholder becomes ``%`` and its number. Different names stay different.
    """
    return _UNPLAIN.sub(lambda match: f"%{ord(match[0]):02X}", name)


def _plain_table(table: Table) -> Table:
    rules = [
        replace(rule, name=plain(rule.name), arguments=rule.arguments | {"column": plain(rule.arguments["column"])})
        if "column" in rule.arguments
        else rule
        for rule in table.rules
    ]
    frame = table.frame if isinstance(table.frame, DataFrame) else table.frame.rename(columns=plain)
    return replace(table, frame=frame, rules=rules)


def validate_row(table: Table) -> list[Outcome]:
    """Return what :func:`validate` finds for a one-row table with only :meth:`Rule.within` rules, but write no page.

    Importing Great Expectations takes seconds; this takes none.
    """
    row = table.frame.iloc[0]
    outcomes = []
    for rule in table.rules:
        value, low, high = float(row[rule.name]), rule.arguments["min_value"], rule.arguments["max_value"]
        passed = (low is None or value >= low) and (high is None or value <= high)
        outcomes.append(Outcome(rule.name, passed, round(value, 6)))
    return outcomes


def _validate_table(gx: Any, context: Any, table: Table, moment: Any) -> list[Outcome]:
    """Run one table's suite in its own checkpoint, because a checkpoint takes one frame."""
    sources = context.data_sources
    add = sources.add_spark if isinstance(table.frame, DataFrame) else sources.add_pandas
    asset = add(table.name).add_dataframe_asset("night")
    suite = gx.ExpectationSuite(name=table.name, expectations=[_expectation(gx, rule) for rule in table.rules])
    suite = context.suites.add(suite)
    definition = gx.ValidationDefinition(
        name=table.name, data=asset.add_batch_definition_whole_dataframe("night"), suite=suite
    )
    checkpoint = gx.Checkpoint(
        name=table.name,
        validation_definitions=[context.validation_definitions.add(definition)],
        result_format={"result_format": "BASIC", "partial_unexpected_count": 0},  # aggregates only: rows stay in Spark
    )
    run = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table.frame}, run_id=moment)
    results = [result for validation in run.run_results.values() for result in validation.results]
    by_name = {_name(result): result for result in results}
    return [_outcome(rule, by_name[rule.name]) for rule in table.rules]


def _expectation(gx: Any, rule: Rule) -> Any:
    if rule.built is not None:
        return rule.built
    described = f"{rule.name}, limit {rule.limit}"
    return getattr(gx.expectations, rule.kind)(**rule.arguments, meta={"name": rule.name}, description=described)


def _name(result: Any) -> str:
    return str(result.expectation_config.meta["name"])


def great_expectations() -> tuple[Any, Any, Any]:
    """Return the library and its modules ``data_context.types.base`` and ``core.run_identifier``."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports modules that the standard library calls deprecated
        import great_expectations as gx  # takes seconds to import: only this stage pays
        from great_expectations.core import run_identifier
        from great_expectations.data_context.types import base
    return gx, base, run_identifier


def _outcome(rule: Rule, result: Any) -> Outcome:
    if rule.built is not None:
        return Outcome(rule.name, bool(result.success), _observed(result))
    value = result.result.get(rule.metric)
    return Outcome(rule.name, bool(result.success), None if value is None else round(float(value), 6))


def _observed(result: Any) -> float | str | None:
    """Return what an expectation of any kind observed: a number, a text, or why it could not be evaluated."""
    infos = [result.exception_info, *result.exception_info.values()]
    raised = [info["exception_message"] for info in infos if isinstance(info, dict) and info.get("raised_exception")]
    if raised:
        return f"not evaluated: {raised[0]}"[:_LONGEST]
    if "unexpected_count" in result.result:
        percent = result.result.get("unexpected_percent") or 0.0
        return f"{result.result['unexpected_count']} of {result.result['element_count']} unexpected ({percent:.4g} %)"
    value = result.result.get("observed_value")
    return round(float(value), 6) if isinstance(value, int | float) else json.dumps(value, default=str)[:_LONGEST]


def _site(docs: Path) -> Any:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }


def _make_repeatable(docs: Path) -> None:
    """Replace random ids by their order of appearance and moments by one moment, so that equal runs are equal bytes."""
    for path in sorted(docs.rglob("*.html")):
        seen: dict[str, str] = {}
        text = path.read_text()
        text = _UUID.sub(lambda match, seen=seen: seen.setdefault(match[0], f"id-{len(seen)}"), text)  # type: ignore[misc]
        path.write_text(_MOMENT.sub("20000101T000000.000000Z", text))
