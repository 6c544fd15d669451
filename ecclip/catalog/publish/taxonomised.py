"""Categories of the dump in the shop's taxonomy: whatever a seller calls a category, a snapshot has its path there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.core import ConfigError
from ecclip.formats.taxonomy.reading import read_taxonomy_file
from ecclip.formats.taxonomy.tree import Finder, Taxonomy

_COLUMNS = pa.schema([("given", pa.list_(pa.string())), ("found", pa.list_(pa.string()))])
_MOST_TOLD = 10  # categories that the report names; by judgment


def chosen_taxonomy(folder: Path, name: str | None) -> Taxonomy | None:
    """Return the taxonomy that ``publish.taxonomy`` names; None where it names none.

    Raises:
        ConfigError: there is no such file, or it is no taxonomy; names file, line and what is wrong.
    """
    if name is None:
        return None
    path = folder / name
    if path.parent != folder or not path.is_file():
        there = sorted(one.name for one in folder.glob("*.y*ml"))
        raise ConfigError(
            "publish.taxonomy names no file of the folder taxonomy/",
            value=name,
            limit=", ".join(there) or "the folder has none",
            next_step="put the file into taxonomy/, beside params.yaml, or correct publish.taxonomy",
        )
    return read_taxonomy_file(path)


def with_taxonomy(
    spark: SparkSession, listings: DataFrame, taxonomy: Taxonomy | None
) -> tuple[DataFrame, dict[str, Any]]:
    """Return listings with the paths of the taxonomy in the column ``category``, and how many found one.

    A category that fits none, or several, is no label: the column is empty then. The counts are of listings:
    ``mapped``, ``unknown``, and the most frequent unknown paths by name.
    """
    if taxonomy is None:
        return listings, {}
    finder, rows = Finder(taxonomy), Counter[str]()
    counted = listings.where(F.col("category").isNotNull()).groupBy("category").count().collect()
    found, unknown = [], Counter[str]()
    for given, count in ((list(row["category"]), int(row["count"])) for row in counted):
        path = finder.path(given)
        rows["unknown" if path is None else "mapped"] += count
        if path is None:
            unknown[" > ".join(given)] += count
        found.append({"given": given, "found": path})
    told = sorted(unknown.items(), key=lambda entry: (-entry[1], entry[0]))[:_MOST_TOLD]
    facts = {"version": taxonomy.version, "digest": taxonomy.digest, "mapped": rows["mapped"]}
    return _replaced(spark, listings, found), facts | {"unknown": rows["unknown"], "most_unknown": dict(told)}


def _replaced(spark: SparkSession, listings: DataFrame, found: list[dict[str, Any]]) -> DataFrame:
    if not found:
        return listings
    paths = F.broadcast(spark.createDataFrame(pa.Table.from_pylist(found, schema=_COLUMNS)))
    joined = listings.join(paths, F.col("category") == F.col("given"), "left")
    return joined.withColumn("category", F.col("found")).drop("given", "found")
