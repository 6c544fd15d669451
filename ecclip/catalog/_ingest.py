"""Ingest: text from any format becomes typed rows; what cannot is quarantined with its reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path

from pydantic import Field
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from ecclip.catalog._contract import DUMP_FIELDS, KINDS, listing_columns
from ecclip.catalog._drift import refuse_drift
from ecclip.catalog._files import csv_header, format_of, listing_files
from ecclip.catalog._parts import count_rows, count_values, write_parts
from ecclip.catalog._quarantine import refuse_share
from ecclip.catalog._spark import spark_session
from ecclip.core import Counts, StageConfig, stage

_TEXT = [field.name for field in DUMP_FIELDS if field.kind != "bytes"]
_PARSED = ["price", "updated_at", "deleted", "age_restricted", "attributes"]
_CORRUPT = "_corrupt_record"
_ROW_CHARACTERS = 8000


class IngestConfig(StageConfig):
    """Parameters of ingestion."""

    max_quarantined_share: float = Field(0.1, ge=0, le=1, description="above this share of rejected rows the run stops")
    drift_sample_rows: int = Field(1000, ge=1, description="JSON objects a file that schema drift is looked for in")
    parts: int = Field(2, ge=1, description="output files and shuffle partitions")


@stage
def ingest(cfg: IngestConfig, landed: Path, output: Path) -> Counts:
    """Write ``listings/`` (typed, one row a listing_id, not deleted) and ``quarantine/`` (row, reason, detail).

    The newest ``updated_at`` of a listing_id wins; of equal ones the row with the greatest content hash, so that
    the order of rows and files does not matter.

    Raises:
        ContractError: schema drift, or more rows rejected than ``max_quarantined_share``.
    """
    files = listing_files(landed / "listings")
    added = refuse_drift(files, cfg.drift_sample_rows)
    spark = spark_session(cfg.parts, landed)
    judged = _judge_deleted(_judge_repeated(_judge(_read(spark, files)))).persist()
    try:
        kept = judged.where(F.col("reason").isNull())
        write_parts(kept.select(*_typed_columns()), output / "listings", cfg.parts)
        rejected = judged.where(F.col("reason").isNotNull() & (F.col("reason") != "deleted"))
        order = ["listing_id", "reason", "detail", "row"]
        write_parts(_quarantine(rejected), output / "quarantine", 1, sort=order)
        deleted = judged.where(F.col("reason") == "deleted").count()
    finally:
        judged.unpersist()
    written, reasons = count_rows(output / "listings"), count_values(output / "quarantine", "reason")
    read = written + deleted + sum(reasons.values())
    refuse_share("rows", reasons, read, cfg.max_quarantined_share)
    return Counts(
        read={"rows": read},
        written={"listings": written, "quarantined": sum(reasons.values())},
        dropped=dict(sorted({**reasons, "deleted": deleted}.items())),
        detail={"added_columns": added},
    )


def _read(spark: SparkSession, files: list[Path]) -> DataFrame:
    """Return every row as text: one column a field, ``image`` as bytes, ``_corrupt_record`` where a line is none."""
    readers = {"json": _read_json, "csv": _read_csv, "parquet": _read_parquet}
    frames = []
    for kind, reader in readers.items():
        paths = [str(path) for path in files if format_of(path) == kind]
        if paths:
            frames.append(_as_text(reader(spark, paths)))
    return reduce(DataFrame.unionByName, frames)


def _read_json(spark: SparkSession, paths: list[str]) -> DataFrame:
    # with text for every field Spark keeps a number, a list or an object as its own JSON text
    schema = StructType([StructField(name, StringType()) for name in [*_TEXT, _CORRUPT]])
    return spark.read.schema(schema).option("columnNameOfCorruptRecord", _CORRUPT).json(paths)


def _read_csv(spark: SparkSession, paths: list[str]) -> DataFrame:
    header = csv_header(Path(paths[0]))
    schema = StructType([StructField(name, StringType()) for name in [*header, _CORRUPT]])
    reader = spark.read.schema(schema).option("columnNameOfCorruptRecord", _CORRUPT)
    return reader.option("header", True).option("multiLine", True).option("escape", '"').csv(paths)


def _read_parquet(spark: SparkSession, paths: list[str]) -> DataFrame:
    return spark.read.option("mergeSchema", True).parquet(*paths)


def _as_text(frame: DataFrame) -> DataFrame:
    columns = []
    kinds = dict(frame.dtypes)
    for name in [*_TEXT, _CORRUPT]:
        if name not in kinds:
            column = F.lit(None).cast("string")
        elif kinds[name].startswith(("array", "map", "struct")):
            column = F.to_json(name)
        else:
            column = F.col(name).cast("string")
        columns.append(column.alias(name))
    image = F.col("image") if kinds.get("image") == "binary" else F.lit(None).cast("binary")
    return frame.select(*columns, image.alias("image"))


def _typed_columns() -> list[Column]:
    return [F.col(f"typed.{name}") for name in listing_columns()]


def _judge(text: DataFrame) -> DataFrame:
    """Return ``typed`` (struct of fields), ``reason`` and ``detail`` (null: good row), ``row``, ``content`` (hash)."""
    typed = _typed()
    reasons = [
        ("malformed_record", F.col(_CORRUPT).isNotNull(), F.lit("the line is not a record")),
        ("missing_listing_id", typed["listing_id"].isNull(), F.lit("listing_id is null or empty")),
        *[(f"bad_{name}", condition, F.substring(name, 1, 200)) for name, condition in _unparsable(typed)],
        ("missing_title", typed["title"].isNull() & ~_is_deleted(typed), F.lit("title is null or empty")),
    ]
    reason = F.coalesce(*[F.when(condition, F.lit(name)) for name, condition, _ in reasons])
    detail = F.coalesce(*[F.when(condition, text_of) for _, condition, text_of in reasons])
    row = F.coalesce(F.col(_CORRUPT), F.to_json(F.struct(*_TEXT)))
    content = F.sha2(F.concat(row, F.coalesce(F.sha2("image", 256), F.lit(""))), 256)
    struct = F.struct(*[column.alias(name) for name, column in typed.items()])
    return text.select(
        struct.alias("typed"),
        reason.alias("reason"),
        detail.alias("detail"),
        F.substring(row, 1, _ROW_CHARACTERS).alias("row"),
        content.alias("content"),
    )


def _typed() -> dict[str, Column]:
    converters: dict[str, Callable[[str], Column]] = {
        "text": _given,
        "path": _path,
        "map": _map,
        "number": lambda name: _given(name).try_cast(KINDS["number"].spark),
        "flag": lambda name: F.lower(_given(name)).try_cast(KINDS["flag"].spark),
        "time": lambda name: _given(name).try_cast(KINDS["time"].spark),
        "bytes": F.col,
    }
    return {field.name: converters[field.kind](field.name) for field in DUMP_FIELDS}


def _given(name: str) -> Column:
    return F.nullif(F.trim(name), F.lit(""))


def _path(name: str) -> Column:
    listed = F.from_json(name, KINDS["path"].spark)
    names = F.when(F.col(name).startswith("["), listed).otherwise(F.split(name, ">"))
    trimmed = F.filter(F.transform(names, lambda part: F.trim(part)), lambda part: part != "")
    return F.when(F.size(trimmed) > 0, trimmed)


def _map(name: str) -> Column:
    return F.map_filter(F.from_json(name, KINDS["map"].spark), lambda _, value: value.isNotNull())


def _unparsable(typed: dict[str, Column]) -> list[tuple[str, Column]]:
    """Return the fields whose text may not parse, each with the condition that it did not."""
    price = typed["price"]
    # an empty list of names is a missing category, not a bad one
    bad_path = F.col("category").startswith("[") & F.from_json("category", KINDS["path"].spark).isNull()
    bad = {name: _given(name).isNotNull() & typed[name].isNull() for name in _PARSED}
    bad["price"] = bad["price"] | F.coalesce((price < 0) | F.isnan(price) | (price == float("inf")), F.lit(False))
    return [*bad.items(), ("category", F.coalesce(bad_path, F.lit(False)))]


def _is_deleted(typed: dict[str, Column]) -> Column:
    return F.coalesce(typed["deleted"], F.lit(False))


def _judge_repeated(judged: DataFrame) -> DataFrame:
    newest = Window.partitionBy("typed.listing_id", F.col("reason").isNull())
    newest = newest.orderBy(F.col("typed.updated_at").desc_nulls_last(), F.col("content").desc())
    repeated = F.col("reason").isNull() & (F.row_number().over(newest) > 1)
    return judged.withColumns(
        {
            "reason": F.when(repeated, F.lit("duplicate_listing_id")).otherwise(F.col("reason")),
            "detail": F.when(repeated, F.lit("a newer row of this listing was kept")).otherwise(F.col("detail")),
        }
    )


def _judge_deleted(judged: DataFrame) -> DataFrame:
    deleted = F.col("reason").isNull() & F.coalesce(F.col("typed.deleted"), F.lit(False))
    return judged.withColumn("reason", F.when(deleted, F.lit("deleted")).otherwise(F.col("reason")))


def _quarantine(rejected: DataFrame) -> DataFrame:
    return rejected.select(
        F.col("typed.listing_id").alias("listing_id"), F.lit("ingest").alias("stage"), "reason", "detail", "row"
    )
