"""The facts of a night's ingested listings, counted by Spark in three passes over narrow rows."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.dump.contract import listing_columns
from ecclip.catalog.gate.history import NightFacts, Prices
from ecclip.catalog.gate.labels import label_shares
from ecclip.core import IntegrityError, Manifest, read_manifest
from ecclip.formats.snapshot import LISTINGS

_PHOTO = ("image", "image_uri")  # a listing names its photo by one of the two
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the prices of a currency; by judgment
_DISTINCT_ERROR = 0.01  # HyperLogLog: one small buffer instead of a shuffle of every title, the same in any order
_MOST_VALUES = 1000  # categories or currencies that the facts name; bounds the history
_OTHER = "(other)"
_UNKNOWN = "(unknown)"


def measured(spark: SparkSession, ingested: Path) -> DataFrame:
    """Return one narrow row per listing: what the declared rules need, nulls and hashes, without text and photos.

    ``row_hash`` sees the bytes of photos that lie in the rows; photo files are covered by the digest that ingest
    records.
    """
    listings = spark.read.parquet(str(ingested / LISTINGS))
    hashed = {name: _hashable(name) for name in listing_columns() if name != "image"}
    content = [column for name, column in hashed.items() if name not in ("listing_id", "updated_at")]
    return listings.select(
        "listing_id",
        F.length("title").alias("title_characters"),
        F.when(F.size("category") > 0, F.concat_ws("/", "category")).alias("category"),
        "price",
        F.coalesce("currency", F.lit(_UNKNOWN)).alias("currency"),
        F.when(F.col("image_uri").isNotNull() | F.col("image").isNotNull(), F.lit(1)).alias("photo"),
        *[F.col(name).isNull().alias(f"no_{name}") for name in _plain_columns()],
        F.xxhash64("title").alias("title_hash"),
        F.xxhash64(*content).alias("content_hash"),
        F.xxhash64(*hashed.values(), "image").alias("row_hash"),
    )


def night_facts(rows: DataFrame, ingested: Path) -> NightFacts:
    """Return the facts of a night from :func:`measured` rows and the counts that ingest left in its manifest."""
    row = rows.agg(
        F.count("*").alias("listings"),
        *[F.count_if(F.col(f"no_{name}")).alias(f"no_{name}") for name in _plain_columns()],
        F.count_if(F.col("category").isNull()).alias("no_category"),
        F.count_if(F.col("photo").isNull()).alias("no_photo"),
        F.approx_count_distinct("title_hash", _DISTINCT_ERROR).alias("titles"),
        F.approx_count_distinct("content_hash", _DISTINCT_ERROR).alias("contents"),
        F.sum(F.col("row_hash").cast("decimal(38,0)")).alias("rows_hash"),
    ).collect()[0]
    total = int(row["listings"])
    missing = {
        f"missing/{name}": row[f"no_{name}"] / max(total, 1) for name in (*_plain_columns(), "category", "photo")
    }
    repeated = {
        f"repeated/{name}": max(0.0, 1 - row[f"{name}s"] / max(total, 1)) if total else 0.0
        for name in ("title", "content")
    }
    counts, prices = _currencies(rows)
    ingest = _manifest(ingested)
    shares = {name: round(share, 6) for name, share in {**missing, **repeated, **_dropped(ingest)}.items()}
    return NightFacts(
        fingerprint=_short_hash(total, row["rows_hash"], ingest.detail["photos"]["digest"]),
        rows=_short_hash(total, row["rows_hash"]),
        new_photos=ingest.detail["photos"]["new"],
        listings=total,
        shares=dict(sorted(shares.items())),
        distributions={"category": _categories(rows), "currency": counts},
        prices=prices,
        labels=label_shares(rows.sparkSession, ingested, max(total, 1)),
    )


def _plain_columns() -> list[str]:
    own = ("listing_id", "title", "category", *_PHOTO)
    return [name for name in listing_columns() if name not in own]


def _hashable(name: str) -> Column:
    # Spark does not hash maps: their entries have no order
    return F.array_sort(F.map_entries(name)) if listing_columns()[name].startswith("map") else F.col(name)


def _short_hash(*values: object) -> str:
    return hashlib.sha256(" ".join(map(str, values)).encode()).hexdigest()[:16]


def _manifest(ingested: Path) -> Manifest:
    manifest = read_manifest(ingested)
    if manifest is None:
        raise IntegrityError("the ingested night has no manifest", value=ingested, next_step="run ingest")
    return manifest


def _dropped(manifest: Manifest) -> dict[str, float]:
    read = max(manifest.read["rows"], 1)
    return {f"dropped/{reason}": count / read for reason, count in manifest.dropped.items()}


def _categories(rows: DataFrame) -> dict[str, int]:
    counted = rows.where(F.col("category").isNotNull()).groupBy("category").count().collect()
    return _most({str(row["category"]): int(row["count"]) for row in counted})


def _currencies(rows: DataFrame) -> tuple[dict[str, int], dict[str, Prices]]:
    """Return listings by currency, and the positive prices of each."""
    positive = F.when(F.col("price") > 0, F.col("price"))
    shares = F.array(*[F.lit(share) for share in _QUANTILES])
    found = rows.groupBy("currency").agg(
        F.count("*").alias("listings"),
        F.count(positive).alias("priced"),
        F.percentile(positive, shares).alias("quantiles"),
    )
    counts, prices = {}, {}
    for row in sorted(found.collect(), key=lambda row: str(row["currency"])):
        counts[row["currency"]] = int(row["listings"])
        if row["priced"]:
            quantiles = zip(_QUANTILES, row["quantiles"], strict=True)
            logarithms = {str(share): round(math.log10(value), 6) for share, value in quantiles}
            prices[row["currency"]] = Prices(listings=int(row["priced"]), log10_quantiles=logarithms)
    most = _most(counts)
    return most, {currency: priced for currency, priced in prices.items() if currency in most}


def _most(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts by name; less frequent values are merged into one, which bounds the history."""
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = sum(count for _, count in ranked[_MOST_VALUES:])
    return dict(sorted(ranked[:_MOST_VALUES])) | ({_OTHER: rest} if rest else {})
