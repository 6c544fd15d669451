"""Clean the photos of listings in Spark: each is known by the digest of its bytes, and decoded when that is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.clean.photo import Photo, clean_photo, load_libraries
from ecclip.catalog.clean.sandbox import Died, Limits, run_each
from ecclip.catalog.land.photos import IMAGES, INDEX
from ecclip.catalog.land.uris import photo_address
from ecclip.core import StageConfig
from ecclip.formats.columns import IMAGE_ERROR, IMAGE_PHASH, IMAGE_SHA256
from ecclip.formats.snapshot import LISTINGS, PHOTO, Snapshot
from ecclip.product_input import MAX_PIXELS, CanonicalPhoto

# a listing names a photo where it has a digest of it, or a reason why it has none
PHOTO_SAYS = [IMAGE_SHA256, IMAGE_ERROR]
_SAID = (IMAGE_SHA256, IMAGE_PHASH, IMAGE_ERROR)
_HELD = (IMAGE_SHA256, PHOTO)
CLEANED_PHOTO = f"{IMAGE_SHA256} string, {PHOTO} binary, {IMAGE_PHASH} string, {IMAGE_ERROR} string"
_SCHEMA = pa.schema(
    [
        (IMAGE_SHA256, pa.string()),
        ("image", pa.binary()),
        (IMAGE_PHASH, pa.string()),
        (IMAGE_ERROR, pa.string()),
    ]
)
_LASTING = (
    "empty",
    "not_an_image",
    "truncated",
    "animated",
    "too_large",
    "too_small",
)  # what a photo's bytes alone decide


class PhotoConfig(StageConfig):
    """The form of a cleaned photo, and the limits of decoding one; defaults by judgment."""

    image_side: int = Field(
        256, ge=16, description="shorter side of a photo in pixels; smaller photos stay as they are"
    )
    jpeg_quality: int = Field(90, ge=1, le=100, description="quality of the encoded photos")
    max_pixels: int = Field(
        MAX_PIXELS,
        ge=1,
        description="a photo of more pixels is refused, by the server too: reason too_large",
    )
    decode_s: float = Field(20.0, gt=0, description="CPU seconds that one photo may take: reason decoder_timeout")
    decode_bytes: int = Field(2 << 30, ge=1 << 26, description="memory that decoding may take: reason too_large")

    def canonical(self) -> CanonicalPhoto:
        """Return the form in which photos are kept: models and the server make the very same one."""
        return CanonicalPhoto(self.image_side, self.jpeg_quality, self.max_pixels)


def name_photos(spark: SparkSession, landed: Path, listings: DataFrame) -> DataFrame:
    """Return ``listings`` without bytes: ``image_sha256`` of their photo, or ``image_error`` where there is none.

    A photo in a row itself comes before one by address. Addresses are joined in their one spelling; one that landing
    did not see (its row was read otherwise) is counted as ``not_landed``.
    """
    inside = F.col("image").isNotNull()
    named = listings.withColumn("inside_sha256", F.sha2("image", 256)).withColumn("is_inside", inside).drop("image")
    named = named.withColumn("address", F.when(F.col("image_uri").isNotNull(), _address()("image_uri")))
    joined = named.join(_places(spark, landed), "address", "left")
    sha256 = F.when(F.col("is_inside"), F.col("inside_sha256")).otherwise(F.col("landed_sha256"))
    lost = F.when(F.col("address").isNotNull() & F.col("landed_sha256").isNull(), F.lit("not_landed"))
    error = F.when(~F.col("is_inside"), F.coalesce(F.col("landed_error"), lost))
    found = joined.withColumns({IMAGE_SHA256: sha256, IMAGE_ERROR: error})
    return found.drop("address", "inside_sha256", "is_inside", "landed_sha256", "landed_error")


def _places(spark: SparkSession, landed: Path) -> DataFrame:
    if not (landed / INDEX).is_file():
        return spark.createDataFrame([], "address string, landed_sha256 string, landed_error string")
    return spark.read.parquet(str(landed / INDEX)).select(
        F.col("image_uri").alias("address"),
        F.col(IMAGE_SHA256).alias("landed_sha256"),
        F.col("error").alias("landed_error"),
    )


def _address() -> Callable[..., Column]:
    def addresses(texts: pa.Array) -> pa.Array:
        found = [None if text is None else photo_address(text).address for text in texts.to_pylist()]
        return pa.array(found, pa.string())

    return F.arrow_udf(addresses, "string")  # type: ignore[call-overload]


class Photos(NamedTuple):
    """Cleaned photos apart: ``said`` is image_sha256, image_phash and image_error, ``held`` image_sha256 and image.

    A digest may stand in several rows, which are equal. Apart, because what is said is small and often looked at.
    """

    said: DataFrame
    held: DataFrame

    @classmethod
    def of(cls, photos: DataFrame) -> Photos:
        """Return the parts of photos that have all columns."""
        return cls(photos.select(*_SAID), photos.select(*_HELD))

    def and_also(self, other: Photos) -> Photos:
        """Return these photos and others."""
        return Photos(self.said.unionByName(other.said), self.held.unionByName(other.held))

    def by_digest(self) -> DataFrame:
        """Return every photo once with all columns; ``image`` is null where there is a reason why."""
        held = self.held.where(F.col(PHOTO).isNotNull())
        # to their partition first: Spark would sort the bytes once more before that, and the join finds them there
        one = held.repartition(IMAGE_SHA256).dropDuplicates([IMAGE_SHA256])
        return self.said.dropDuplicates([IMAGE_SHA256]).join(one, IMAGE_SHA256, "left")


def known_photos(spark: SparkSession, snapshot: Path) -> Photos:
    """Return the photos that a snapshot has, placeholders among them, or why they are none."""
    before = Snapshot(snapshot)
    lasting = F.col(IMAGE_ERROR).isNull() | F.col(IMAGE_ERROR).isin(*_LASTING)
    listings = spark.read.parquet(str(before.listings)).where(F.col(IMAGE_SHA256).isNotNull() & lasting)
    held = spark.read.parquet(*map(str, before.photo_files()))
    placeholders = spark.read.schema(CLEANED_PHOTO).parquet(str(before.placeholders))
    return Photos(listings.select(*_SAID), held.select(*_HELD)).and_also(Photos.of(placeholders))


def photo_bytes(spark: SparkSession, landed: Path, ingested: Path, wanted: DataFrame | None) -> DataFrame:
    """Return ``image_sha256, image`` of the photos as they came in: all, or those of the digests in ``wanted``.

    Only the parts that hold a wanted photo are read.
    """
    rows = spark.read.parquet(str(ingested / LISTINGS)).where(F.col("image").isNotNull())
    inside = rows.select(F.sha2("image", 256).alias(IMAGE_SHA256), "image")
    parts = _parts(spark, landed, wanted)
    if parts:
        inside = inside.union(spark.read.parquet(*parts).select(IMAGE_SHA256, "image"))
    return inside if wanted is None else inside.join(wanted, IMAGE_SHA256, "left_semi")


def _parts(spark: SparkSession, landed: Path, wanted: DataFrame | None) -> list[str]:
    if not (landed / INDEX).is_file():
        return []
    places = spark.read.parquet(str(landed / INDEX)).where(F.col("part").isNotNull())
    if wanted is not None:
        places = places.join(wanted, IMAGE_SHA256, "left_semi")
    names = sorted(row["part"] for row in places.select("part").distinct().collect())
    return [str(landed / IMAGES / name) for name in names]


def holds_nothing_else(landed: Path) -> bool:
    """Return whether the night names every landed photo, so that none has to be filtered out."""
    if not (landed / INDEX).is_file():
        return True
    held = sum(pq.read_metadata(path).num_rows for path in (landed / IMAGES).glob("*.parquet"))
    return held == pq.read_table(landed / INDEX, columns=["part"])["part"].drop_null().length()


def photo_cleaner(cfg: PhotoConfig) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return the function for mapInArrow that decodes ``image_sha256, image``."""
    canonical = cfg.canonical()
    limits = Limits(cfg.decode_s, cfg.decode_bytes)

    def clean_photos(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        load_libraries()
        for batch in batches:
            digests, images = batch.column(IMAGE_SHA256).to_pylist(), batch.column("image")

            def work(number: int, images: pa.Array = images) -> Photo:
                return clean_photo(images[number].as_py(), canonical)

            photos = run_each(len(digests), work, limits)
            yield _batch([_row(digest, photo) for digest, photo in zip(digests, photos, strict=True)])

    return clean_photos


def _row(digest: str, photo: Photo | Died) -> tuple[str, bytes | None, str | None, str | None]:
    if isinstance(photo, Died):
        return digest, None, None, photo.reason
    return digest, photo.image, photo.phash, photo.error


def _batch(rows: list[tuple[str, bytes | None, str | None, str | None]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
