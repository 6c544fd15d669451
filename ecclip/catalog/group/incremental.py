"""Incremental grouping: which listings are unchanged since the previous night, and the evidence between them."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.group.candidates import candidates
from ecclip.catalog.group.edges import near_edges
from ecclip.catalog.group.evidence import CATALOG_ID, EvidenceConfig
from ecclip.catalog.group.features import describe, digest
from ecclip.core import canonical_json, fingerprint, sha256_bytes, write_atomic
from ecclip.formats.snapshot import GROUPS, LISTINGS

RULES = "_rules.json"  # Spark leaves names with an underscore out when it reads the folder
_RULES_OF = (describe, candidates, near_edges)
_EXACT = (CATALOG_ID, "same_photo_and_title")


def write_rules(cfg: EvidenceConfig, folder: Path) -> None:
    """Write the rules that produced the evidence in ``folder``: the next night reuses it only under equal rules."""
    write_atomic(folder / RULES, _rules(cfg))


def unchanged(cfg: EvidenceConfig, rows: DataFrame, previous: Path) -> DataFrame | None:
    """Return the listing_ids that the previous snapshot has with equal compared columns.

    None where nothing can be reused: there is no previous snapshot, or its evidence was found by other rules.
    """
    rules = previous / GROUPS / RULES
    if not rules.is_file() or rules.read_text() != _rules(cfg):
        return None
    before = rows.sparkSession.read.parquet(str(previous / LISTINGS)).select("listing_id", digest().alias("digest"))
    return rows.select("listing_id", digest().alias("digest")).join(before, ["listing_id", "digest"]).drop("digest")


def known_edges(spark: SparkSession, same: DataFrame, previous: Path) -> DataFrame:
    """Return the previous night's near evidence between two unchanged listings, as it was found then.

    Marks are left behind: which edges are cut or ambiguous follows from all edges of a night. Exact evidence is
    recomputed every night, because a star's centre may have left.
    """
    edges = spark.read.parquet(str(previous / GROUPS)).where(~F.col("evidence").isin(*_EXACT))
    for side in ("left", "right"):
        edges = edges.join(same.withColumnRenamed("listing_id", side), side, "left_semi")
    return edges.select("left", "right", "evidence", "weight")


def _rules(cfg: EvidenceConfig) -> str:
    config = cfg.model_dump(include=set(EvidenceConfig.model_fields), exclude={"max_group_size"})
    rules = sha256_bytes(canonical_json([fingerprint(*_RULES_OF), config]).encode())
    return canonical_json({"schema": "ecclip.evidence/1", "rules": rules})
