"""Clean: text normalised, photos verified and resized once, placeholder photos found by how often they occur."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog._parts import count_rows, count_values, write_as_is, write_parts
from ecclip.catalog._photo import clean_photo
from ecclip.catalog._quarantine import refuse_share
from ecclip.catalog._spark import spark_session
from ecclip.catalog._text import clean_text
from ecclip.core import Counts, StageConfig, stage

CLEAN_COLUMNS = (
    "listing_id",
    "seller_id",
    "title",
    "title_original",
    "description",
    "category",
    "attributes",
    "brand",
    "price",
    "currency",
    "catalog_id",
    "age_restricted",
    "updated_at",
    "image_uri",
    "image",
    "image_sha256",
    "image_phash",
    "image_error",
)
_PHOTO_SCHEMA = "key string, image binary, image_sha256 string, image_phash string, image_error string"
_NOT_BAD = ("placeholder",)


class CleanConfig(StageConfig):
    """Parameters of cleaning."""

    image_side: int = Field(
        256, ge=16, description="shorter side of a photo in pixels; smaller photos stay as they are"
    )
    jpeg_quality: int = Field(90, ge=1, le=100, description="quality of the encoded photos")
    max_pixels: int = Field(80_000_000, ge=1, description="a photo of more pixels is refused: reason too_large")
    max_bad_photo_share: float = Field(0.2, ge=0, le=1, description="above this share of bad photos the run stops")
    placeholder_listings: int = Field(8, ge=2, description="a photo is a placeholder from this many listings on")
    placeholder_sellers: int = Field(4, ge=1, description="... of at least this many sellers")
    placeholder_categories: int = Field(3, ge=1, description="... in at least this many categories")
    parts: int = Field(2, ge=1, description="output files and shuffle partitions")


@stage
def clean(cfg: CleanConfig, landed: Path, ingested: Path, verdict: Path, output: Path) -> Counts:  # noqa: ARG001
    """Write ``listings/`` with clean text and photos, and ``quarantine/`` with every photo that was refused.

    A listing whose photo is bad stays, with ``image`` null and the reason in ``image_error``. ``verdict`` is an
    input so that nothing is cleaned before the gate has let it pass.

    Raises:
        ContractError: more photos bad than ``max_bad_photo_share``.
    """
    spark = spark_session(cfg.parts, ingested, landed)
    scratch = output / "_photos"
    write_as_is(_photos(spark, landed, ingested).mapInArrow(_photo_cleaner(cfg), _PHOTO_SCHEMA), scratch)
    photos = spark.read.parquet(str(scratch))
    listings = spark.read.parquet(str(ingested / "listings")).withColumn("key", _key())
    named = listings.drop("image").mapInArrow(_clean_texts, _with_original(listings.drop("image")))
    hidden = F.coalesce(F.col("placeholder"), F.lit(False)) & F.col("image_error").isNull()
    joined = (
        named.join(photos, "key", "left")
        .join(F.broadcast(_placeholders(cfg, listings, photos)), "image_phash", "left")
        .withColumn("image", F.when(~hidden, F.col("image")))
        .withColumn("image_error", F.when(hidden, F.lit("placeholder")).otherwise(F.col("image_error")))
    )
    write_parts(joined.select(*CLEAN_COLUMNS), output / "listings", cfg.parts)
    shutil.rmtree(scratch)
    refused = spark.read.parquet(str(output / "listings")).where(F.col("image_error").isNotNull())
    write_parts(_quarantine(refused), output / "quarantine", 1)
    return _counts(cfg, output)


def _key() -> Column:
    # a photo is one address, or the row that carries its bytes
    inside = F.concat(F.lit("row:"), F.col("listing_id"))
    return F.when(F.col("image").isNotNull(), inside).otherwise(F.concat(F.lit("uri:"), F.col("image_uri")))


def _photos(spark: SparkSession, landed: Path, ingested: Path) -> DataFrame:
    """Return key, image and error of every photo: of the landed files, and of rows that carry their bytes."""
    inside = spark.read.parquet(str(ingested / "listings")).where(F.col("image").isNotNull())
    inside = inside.select(_key().alias("key"), "image", F.lit(None).cast("string").alias("error"))
    if not any((landed / "images").glob("*.parquet")):
        return inside
    beside = spark.read.parquet(str(landed / "images"))
    return inside.union(beside.select(F.concat(F.lit("uri:"), F.col("image_uri")), "image", "error"))


def _photo_cleaner(cfg: CleanConfig) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    side, quality, max_pixels = cfg.image_side, cfg.jpeg_quality, cfg.max_pixels

    def clean_photos(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = []
            for key, image, error in zip(*(batch.column(name) for name in ("key", "image", "error")), strict=True):
                photo = clean_photo(image.as_py(), side=side, quality=quality, max_pixels=max_pixels)
                rows.append((key.as_py(), photo.image, photo.sha256, photo.phash, error.as_py() or photo.error))
            names = ["key", "image", "image_sha256", "image_phash", "image_error"]
            kinds = [pa.string(), pa.binary(), pa.string(), pa.string(), pa.string()]
            columns = list(zip(*rows, strict=True)) or [()] * len(names)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, names)

    return clean_photos


def _with_original(frame: DataFrame) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in frame.dtypes) + ", title_original string"


def _clean_texts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns = {name: batch.column(name) for name in batch.schema.names}
        columns["title_original"] = columns["title"]
        for name in ("title", "description", "brand"):
            columns[name] = pa.array([clean_text(text) for text in columns[name].to_pylist()], pa.string())
        # a title of nothing but markup stays what it was: a listing must have one
        columns["title"] = pc.coalesce(columns["title"], columns["title_original"])
        yield pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _placeholders(cfg: CleanConfig, listings: DataFrame, photos: DataFrame) -> DataFrame:
    """Return the hashes of photos that so many sellers use in so many categories that they show no product."""
    used = listings.select("key", "seller_id", "category").join(photos.select("key", "image_phash"), "key")
    counted = used.where(F.col("image_phash").isNotNull()).groupBy("image_phash")
    frequent = counted.agg(
        F.count("*").alias("listings"),
        F.countDistinct("seller_id").alias("sellers"),
        F.countDistinct(F.concat_ws("/", "category")).alias("categories"),
    )
    return frequent.where(
        (F.col("listings") >= cfg.placeholder_listings)
        & (F.col("sellers") >= cfg.placeholder_sellers)
        & (F.col("categories") >= cfg.placeholder_categories)
    ).select("image_phash", F.lit(True).alias("placeholder"))


def _quarantine(refused: DataFrame) -> DataFrame:
    return refused.select(
        "listing_id",
        F.lit("clean").alias("stage"),
        F.col("image_error").alias("reason"),
        F.lit("the photo was dropped, the listing stays").alias("detail"),
        F.to_json(F.struct("image_uri", "image_sha256", "image_phash")).alias("row"),
    )


def _counts(cfg: CleanConfig, output: Path) -> Counts:
    listings = count_rows(output / "listings")
    reasons = count_values(output / "quarantine", "reason")
    photos = sum(count_values(output / "listings", "image_sha256").values()) + reasons.get("missing", 0)
    bad = {name: count for name, count in reasons.items() if name not in _NOT_BAD}
    refuse_share("photos", bad, photos, cfg.max_bad_photo_share)
    return Counts(
        read={"listings": listings, "photos": photos},
        written={"listings": listings, "photos": photos - sum(reasons.values())},
        dropped=reasons,
    )
