"""Ingest: text from any format becomes typed rows; rows that cannot be typed are quarantined with a reason."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

from pydantic import Field
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from ecclip.catalog.dump.cells import Limits
from ecclip.catalog.dump.contract import listing_columns
from ecclip.catalog.dump.listing_files import DIALECTS, format_of, listing_files, sample_of
from ecclip.catalog.dump.quarantine import refuse_share
from ecclip.catalog.dump.record import MALFORMED, TOO_FEW, TOO_MANY, UNDECODABLE
from ecclip.catalog.dump.rows import propose_encoding
from ecclip.catalog.ingest.rows import PARSED_SCHEMA, row_parser
from ecclip.catalog.ingest.schema_drift import refuse_drift
from ecclip.catalog.ingest.splits import SPLIT_SCHEMA, plan_splits
from ecclip.catalog.land.photos import photo_facts
from ecclip.catalog.spark.parts import count_rows, count_values, write_parts
from ecclip.catalog.spark.session import spark_session
from ecclip.core import ContractError, Counts, StageConfig, stage
from ecclip.formats.snapshot import LISTINGS, QUARANTINE

_TALLIED = ("attributes", "categories")
_QUARANTINED = ["listing_id", "reason", "detail", "row"]


class IngestConfig(StageConfig):
    """Parameters of ingestion; defaults by judgment."""

    max_quarantined_share: float = Field(0.1, ge=0, le=1, description="above this share of rejected rows the run stops")
    drift_sample_rows: int = Field(
        1000, ge=1, description="JSON objects per file in which schema drift is searched for"
    )
    max_title_characters: int = Field(2000, ge=1, description="a row with a longer title is refused: bad_title")
    max_category_depth: int = Field(8, ge=1, description="levels of a category path; deeper: bad_category")
    max_attributes: int = Field(200, ge=1, description="attributes of a listing; more: bad_attributes")
    split_bytes: int = Field(128 << 20, ge=1 << 10, description="of a large file one task reads about this much")
    parts: int = Field(2, ge=1, description="output files and shuffle partitions")


@stage
def ingest(cfg: IngestConfig, landed: Path, output: Path) -> Counts:
    """Write ``listings/`` (typed, one row per listing_id, not deleted) and ``quarantine/`` (row, reason, detail).

    The newest ``updated_at`` of a listing_id wins; of equal ones the row with the greatest content hash, so that
    the order of rows and files does not matter.

    Raises:
        ContractError: schema drift, no rows at all, or more rows rejected than ``max_quarantined_share``.
    """
    files = listing_files(landed / LISTINGS)
    added = refuse_drift(files, cfg.drift_sample_rows)
    spark = spark_session(cfg.parts, landed)
    parsed = _mark_deleted(_reject_repeated(_parse(spark, cfg, files))).persist()
    try:
        kept = parsed.where(F.col("reason").isNull())
        write_parts(kept.select(*listing_columns()), output / LISTINGS, cfg.parts)
        rejected = parsed.where(F.col("reason").isNotNull() & (F.col("reason") != "deleted"))
        write_parts(_quarantine(rejected), output / QUARANTINE, 1, sort=_QUARANTINED)
        deleted, tally = _tally(parsed)
    finally:
        parsed.unpersist()
    written, reasons = count_rows(output / LISTINGS), count_values(output / QUARANTINE, "reason")
    read = written + deleted + sum(reasons.values())
    if not read:
        raise ContractError(
            "the dump has no rows",
            value=", ".join(path.name for path in files),
            limit="one",
            next_step="check the export: a night without a listing is not published",
        )
    refuse_share("rows", reasons, read, cfg.max_quarantined_share, output, lambda: _advice(files, reasons))
    return Counts(
        read={"rows": read},
        written={"listings": written, "quarantined": sum(reasons.values())},
        dropped=dict(sorted({**reasons, "deleted": deleted}.items())),
        detail={"added_columns": added, "photos": photo_facts(landed), **tally},
    )


def _parse(spark: SparkSession, cfg: IngestConfig, files: list[Path]) -> DataFrame:
    """Return every row of the files: its values by field and no reason, or the reason why it is refused."""
    splits = [tuple(split) for split in plan_splits(files, cfg.split_bytes)]
    limits = Limits(cfg.max_title_characters, cfg.max_category_depth, cfg.max_attributes)
    planned = spark.createDataFrame(splits, SPLIT_SCHEMA).repartition(max(1, len(splits)))
    return planned.mapInArrow(row_parser(limits), PARSED_SCHEMA)


def _tally(parsed: DataFrame) -> tuple[int, dict[str, dict[str, int]]]:
    """Return the number of deleted rows, and of attributes and categories published, unusable, or in other rows."""
    good = F.col("reason").isNull()
    names = [f"{name}{part}" for name in _TALLIED for part in ("_given", "_kept")]
    row = parsed.agg(
        F.count_if(F.col("reason") == "deleted").alias("deleted"),
        *[F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in names],
        *[F.coalesce(F.sum(F.when(good, F.col(name))), F.lit(0)).alias(f"good_{name}") for name in names],
    ).collect()[0]
    tally = {
        name: {
            "read": int(row[f"{name}_given"]),
            "published": int(row[f"good_{name}_kept"]),
            "unusable": int(row[f"good_{name}_given"] - row[f"good_{name}_kept"]),
            "of_other_rows": int(row[f"{name}_given"] - row[f"good_{name}_given"]),
        }
        for name in _TALLIED
    }
    return int(row["deleted"]), tally


def _advice(files: list[Path], reasons: dict[str, int]) -> str:
    """Return a hint on how to fix a dump with many unreadable rows."""
    texts = [path for path in files if format_of(path) != "parquet"]
    tables = [path for path in texts if format_of(path) == "csv"]
    if reasons.get(UNDECODABLE) and texts:
        path, sample = next(((path, data) for path in texts if not _is_utf_8(data := sample_of(path))), (None, b""))
        proposed = propose_encoding(sample)
        if path is not None and proposed is not None:
            return f"{path.name} looks like {proposed}: if it is, set land.encoding in params.yaml"
        return "write the dump again as UTF-8, or set land.encoding in params.yaml"
    if reasons.get(MALFORMED) and texts and not tables:
        return f"{texts[0].name} must hold one JSON object per line, or one array of objects"
    if any(reasons.get(name) for name in (MALFORMED, TOO_MANY, TOO_FEW)) and tables:
        found = json.loads((tables[0].parent / DIALECTS).read_text())[tables[0].name]
        words = ", ".join(f"{name} {found[name]!r}" for name in ("delimiter", "quote", "escape"))
        return f"{tables[0].name} was read with {words}: where that is wrong, set it in params.yaml under land"
    return ""


def _is_utf_8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # it may end within a character
    except UnicodeDecodeError:
        return False
    return True


def _reject_repeated(parsed: DataFrame) -> DataFrame:
    newest = Window.partitionBy("listing_id", F.col("reason").isNull())
    newest = newest.orderBy(F.col("updated_at").desc_nulls_last(), F.col("content").desc())
    repeated = F.col("reason").isNull() & (F.row_number().over(newest) > 1)
    return parsed.withColumns(
        {
            "reason": F.when(repeated, F.lit("duplicate_listing_id")).otherwise(F.col("reason")),
            "detail": F.when(repeated, F.lit("a newer row of this listing was kept")).otherwise(F.col("detail")),
        }
    )


def _mark_deleted(parsed: DataFrame) -> DataFrame:
    deleted = F.col("reason").isNull() & F.coalesce(F.col("deleted"), F.lit(False))
    return parsed.withColumn("reason", F.when(deleted, F.lit("deleted")).otherwise(F.col("reason")))


def _quarantine(rejected: DataFrame) -> DataFrame:
    return rejected.select(
        F.col("listing_id").alias("listing_id"), F.lit("ingest").alias("stage"), "reason", "detail", "row"
    )
