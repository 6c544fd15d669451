"""A shop's own rules: suites of Great Expectations in files, which join the rules of the first check."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.dump.contract import listing_columns
from ecclip.catalog.gate.expectations import Rule, Table, great_expectations, plain
from ecclip.core import ConfigError, write_atomic
from ecclip.formats.snapshot import LISTINGS

SUITES = "expectations"
ATTRIBUTE = "attribute/"
_NO_SUITES = ("README.md", "EMPTY")  # other files than suites that may lie there; hidden ones too
_BETWEEN = re.compile(r"[\s,:]*")
_NEXT_STEP = "correct it or remove it (docs/gate.md)"


class Declared(BaseModel):
    """One expectation as Great Expectations writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: str
    kwargs: dict[str, Any]
    meta: dict[str, Any] | None = None
    notes: str | list[str] | None = None
    description: str | None = None
    severity: Literal["critical", "warning", "info"] = "critical"
    id: str | None = None


class SuiteFile(BaseModel):
    """A file of expectations as Great Expectations writes it; suite parameters would come from nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    expectations: list[Declared]
    name: str | None = None
    meta: dict[str, Any] | None = None
    notes: str | list[str] | None = None
    id: str | None = None
    suite_parameters: dict[str, Any] = Field({}, max_length=0)


@dataclass(frozen=True)
class Suite:
    """The rules of one file, and the columns of the listings that they name."""

    path: Path
    rules: list[Rule]
    columns: list[str]


def read_suites(folder: Path) -> list[Suite]:
    """Return the suites of a folder, by file name.

    Raises:
        ConfigError: a file is no suite; the message names file, line and reason.
    """
    paths = [path for path in sorted(folder.iterdir()) if path.name not in _NO_SUITES and path.name[0] != "."]
    for path in paths:
        if path.suffix != ".json" or not path.is_file():
            raise ConfigError(
                "only suites lie in the folder of expectations",
                value=path,
                limit="<name>.json",
                next_step="rename it, or move it elsewhere",
            )
    return [_read_suite(path) for path in paths]


def suite_tables(suites: Sequence[Suite], spark: SparkSession, ingested: Path) -> list[Table]:
    """Return the night's listings with the rules of every suite."""
    names = sorted({name for suite in suites for name in suite.columns if name.startswith(ATTRIBUTE)})
    frame = _listings(spark, ingested, names) if suites else None
    return [Table(plain(f"{SUITES}-{suite.path.stem}"), frame, suite.rules) for suite in suites if suite.rules]


def keep_suites(suites: Sequence[Suite], output: Path) -> None:
    """Write the files into a stage's output: a night keeps the rules that it was checked by."""
    for suite in suites:
        write_atomic(output / SUITES / suite.path.name, suite.path.read_bytes())


def _listings(spark: SparkSession, ingested: Path, attributes: Sequence[str]) -> DataFrame:
    listings = spark.read.parquet(str(ingested / LISTINGS))
    return listings.select(
        *[name for name in listing_columns() if name not in ("category", "attributes", "image")],
        F.when(F.size("category") > 0, F.concat_ws("/", "category")).alias("category"),
        F.when(F.col("image_uri").isNotNull() | F.col("image").isNotNull(), F.lit(1)).alias("photo"),
        *[F.col("attributes")[name.removeprefix(ATTRIBUTE)].alias(name) for name in attributes],
    )


def _read_suite(path: Path) -> Suite:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _broken(path, error.lineno, "this is no JSON", error.msg) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _broken(path, line, "this is not UTF-8", error.reason) from error
    lines = dict(_lines(text)) if isinstance(content, dict) else {}
    try:
        declared = SuiteFile.model_validate(content).expectations
    except ValidationError as error:
        wrong = error.errors()[0]
        line = lines.get(wrong["loc"][:2]) or lines.get(wrong["loc"][:1], 1)
        place = ".".join(map(str, wrong["loc"]))
        raise _broken(path, line, "this is no suite of expectations", f"{place}: {wrong['msg']}".strip(": ")) from error
    found = [_rule(path, lines[SUITES, at], at, one) for at, one in enumerate(declared)]
    return Suite(path, found, sorted({name for one in declared for name in _columns(one)}))


def _rule(path: Path, line: int, at: int, declared: Declared) -> Rule:
    unknown = [name for name in _columns(declared) if not _is_known(name)]
    if unknown:
        limit = f"{', '.join(_known())}, {ATTRIBUTE}<name>"
        raise _broken(path, line, f"{declared.type}: listings have no column {unknown[0]}", limit)
    name = plain(f"{path.name}/{at + 1}/{declared.type}({', '.join(_columns(declared))})")
    given = {key: value for key, value in declared.kwargs.items() if not key.startswith("column")}
    limit = f"{json.dumps(given)} ({path.name}:{line})"
    return Rule(
        name, declared.type, {}, limit, "", _built(path, line, declared, name), warns=declared.severity != "critical"
    )


def _built(path: Path, line: int, declared: Declared, name: str) -> Any:
    """Return the expectation of Great Expectations, which checks its own arguments."""
    great_expectations()
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    known = list_registered_expectation_implementations()
    if declared.type not in known:
        near = ", ".join(difflib.get_close_matches(declared.type, known)) or "those of Great Expectations"
        raise _broken(path, line, f"there is no expectation {declared.type}", near)
    given = declared.model_dump(exclude={"id"}) | {"meta": {**(declared.meta or {}), "name": name}}
    try:
        return ExpectationConfiguration(**given | {"description": declared.description or name}).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        raise _broken(path, line, f"{declared.type} cannot be built", _reason(error)) from error


def _reason(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return str(error)
    first = errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _broken(path: Path, line: int, what: str, limit: str) -> ConfigError:
    return ConfigError(what, value=f"{path}:{line}", limit=limit, next_step=_NEXT_STEP)


def _columns(declared: Declared) -> list[str]:
    given = declared.kwargs
    several = given.get("column_list")
    one = [given[key] for key in ("column", "column_A", "column_B") if isinstance(given.get(key), str)]
    return [*one, *(name for name in several if isinstance(name, str))] if isinstance(several, list) else one


def _known() -> list[str]:
    return [*(name for name in listing_columns() if name not in ("attributes", "image")), "photo"]


def _is_known(name: str) -> bool:
    return name in _known() or (len(name) > len(ATTRIBUTE) and name.startswith(ATTRIBUTE))


def _lines(text: str) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield the line of every key of a JSON object, and of every item of its lists, by its path."""
    for at, key, value in _members(text, text.index("{")):
        yield (key,), text.count("\n", 0, at) + 1
        if text[value] == "[":
            for number, (item, _) in enumerate(_values(text, value)):
                yield (key, number), text.count("\n", 0, item) + 1


def _members(text: str, start: int) -> Iterator[tuple[int, str, int]]:
    """Yield where a key of the object at ``start`` begins, the key, and where its value begins."""
    found = _values(text, start)
    for (at, key), (value, _) in zip(found, found, strict=True):
        yield at, key, value


def _values(text: str, start: int) -> Iterator[tuple[int, Any]]:
    """Yield what an array or an object holds, in order, and where it begins; of an object keys and values."""
    at = _after(text, start + 1)
    while text[at] not in "]}":
        value, end = json.JSONDecoder().raw_decode(text, at)
        yield at, value
        at = _after(text, end)


def _after(text: str, at: int) -> int:
    match = _BETWEEN.match(text, at)
    return match.end() if match else at
