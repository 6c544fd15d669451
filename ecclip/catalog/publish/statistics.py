"""Statistics of a snapshot: what the next night is compared with and what a person reads first."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ecclip.formats.columns import GROUP_ID

# of the prices, for a person's eyes; by judgment
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_NULLABLE = ("description", "category", "attributes", "brand", "price", "catalog_id", "age_restricted", "image")


def statistics(listings: DataFrame) -> dict[str, Any]:
    """Return counts, null shares, exact price quantiles, category counts and group sizes; equal rows give equal
    numbers."""
    missing = [F.sum(F.col(name).isNull().cast("long")).alias(f"null_{name}") for name in _NULLABLE]
    quantiles = F.percentile("price", F.array(*[F.lit(share) for share in _QUANTILES])).alias("quantiles")
    splits = [F.sum((F.col("split") == name).cast("long")).alias(name) for name in ("train", "validation", "test")]
    row = listings.agg(F.count("*").alias("listings"), *missing, *splits, quantiles).first()
    total = int(row["listings"]) if row else 0
    facts = row.asDict() if row else {}
    sizes = listings.groupBy(GROUP_ID).count().groupBy("count").agg(F.count("*").alias("groups")).collect()
    by_size = {int(size["count"]): int(size["groups"]) for size in sizes}
    categories = listings.groupBy(F.concat_ws("/", "category").alias("category")).count().collect()
    groups = sum(by_size.values())
    return {
        "schema": "ecclip.statistics/1",
        "listings": total,
        "groups": groups,
        "splits": {name: int(facts.get(name) or 0) for name in ("train", "validation", "test")},
        "null_share": {name: round((facts.get(f"null_{name}") or 0) / max(total, 1), 6) for name in _NULLABLE},
        "price_quantiles": dict(zip(map(str, _QUANTILES), facts.get("quantiles") or [], strict=False)),
        "categories": {entry["category"]: int(entry["count"]) for entry in sorted(categories)},
        "group_sizes": {str(size): count for size, count in sorted(by_size.items())},
        "duplicate_share": round(1 - groups / max(total, 1), 6),
    }
