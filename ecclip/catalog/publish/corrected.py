"""Labels that people have corrected, in the place of the dump's: whatever a seller writes, a person's word counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.formats.corrections import FIELDS, Correction, Label, in_effect, read_corrections
from ecclip.formats.taxonomy.tree import Finder

_COLUMNS = pa.schema(
    [
        ("listing_id", pa.string()),
        ("category", pa.list_(pa.string())),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("age_restricted", pa.bool_()),
        ("brand", pa.string()),
    ]
)


def corrected_labels(
    spark: SparkSession, listings: DataFrame, folder: Path, finder: Finder | None = None
) -> tuple[DataFrame, dict[str, int]]:
    """Return listings with the labels that people gave them, and how the corrections ended.

    Each correction in effect is one of: ``changed`` (the label is another now), ``agreed`` (the dump has it itself),
    ``overruled`` (changed, where the dump says by now something else than the person saw), ``unknown_listing`` (the
    night does not have it), ``outside_taxonomy`` (a category that the taxonomy of ``finder`` does not have: nothing
    changes).

    Raises:
        ContractError: the corrections have a schema that this code does not know.
        IntegrityError: a line of them cannot be read; names file and line.
    """
    counts: Counter[str] = Counter()
    given: dict[str, list[Correction]] = {}
    for said in in_effect(read_corrections(folder)).values():
        one = said if finder is None else _in_taxonomy(said, finder)
        counts["outside_taxonomy"] += one is None
        if one is not None:
            given.setdefault(one.listing_id, []).append(one)
    if not given:
        return listings, _without_zeros(counts)
    asked = spark.createDataFrame(pa.table({"listing_id": sorted(given)}))
    found = listings.join(F.broadcast(asked), "listing_id", "left_semi").select(*_COLUMNS.names).toArrow()
    rows = [_corrected(row, given.pop(row["listing_id"]), counts) for row in found.to_pylist(maps_as_pydicts="lossy")]
    counts["unknown_listing"] += sum(map(len, given.values()))
    return _replaced(spark, listings, rows), _without_zeros(counts)


def _in_taxonomy(said: Correction, finder: Finder) -> Correction | None:
    """Return a correction with its category as the path of the taxonomy; None where that has no such category."""
    if said.field != "category":
        return said
    old, new = (finder.path(label) if isinstance(label, list) else None for label in (said.old, said.new))
    return None if said.new is not None and new is None else replace(said, old=old, new=new)


def _without_zeros(counts: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if count}


def _corrected(row: Mapping[str, Any], corrections: list[Correction], counts: Counter[str]) -> dict[str, Any]:
    """Return the labels of a listing with its corrections, and count how each of them ends."""
    result = {**row, "attributes": dict(row["attributes"] or {})}
    for one in corrections:
        before = _label(result, one)
        counts["agreed" if before == one.new else "changed" if before == one.old else "overruled"] += 1
        if one.field != "attributes":
            result[one.field] = one.new
        elif one.new is None:
            result["attributes"].pop(one.name, None)
        else:
            result["attributes"][one.name] = one.new
    unknown = row["attributes"] is None and not result["attributes"]  # of which no absence follows either
    return {**result, "attributes": None if unknown else list(result["attributes"].items())}


def _label(row: Mapping[str, Any], correction: Correction) -> Label:
    label: Label = row["attributes"].get(correction.name) if correction.name else row[correction.field]
    return label


def _replaced(spark: SparkSession, listings: DataFrame, rows: list[dict[str, Any]]) -> DataFrame:
    if not rows:
        return listings
    labels = spark.createDataFrame(pa.Table.from_pylist(rows, schema=_COLUMNS))
    named = labels.select("listing_id", F.struct(*FIELDS).alias("given"))
    joined = listings.join(F.broadcast(named), "listing_id", "left")
    is_given = F.col("given").isNotNull()
    columns = {name: F.when(is_given, F.col("given")[name]).otherwise(F.col(name)) for name in FIELDS}
    return joined.withColumns(columns).drop("given")
