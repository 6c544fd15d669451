"""Clean: text normalised, photos verified and resized once, what shows or names no product found by how often it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ecclip.catalog.clean.boilerplate import BOILERPLATE_SCHEMA, BoilerplateConfig, boilerplate
from ecclip.catalog.clean.photos import (
    CLEANED_PHOTO,
    PHOTO_SAYS,
    PhotoConfig,
    Photos,
    holds_nothing_else,
    known_photos,
    name_photos,
    photo_bytes,
    photo_cleaner,
)
from ecclip.catalog.clean.placeholders import PlaceholderConfig, placeholders
from ecclip.catalog.clean.recipe import equal_recipes, recipes
from ecclip.catalog.clean.texts import TEXT_COLUMNS, clean_texts, known_texts, with_grouping_titles
from ecclip.catalog.dump.quarantine import refuse_share
from ecclip.catalog.spark.parts import count_given, count_rows, count_values, write_as_is, write_parts
from ecclip.catalog.spark.session import spark_session
from ecclip.core import Counts, StageConfig, canonical_json, stage, write_atomic
from ecclip.formats.columns import IMAGE_ERROR, IMAGE_PHASH, IMAGE_SHA256, TITLE_ORIGINAL
from ecclip.formats.snapshot import BOILERPLATE, LISTINGS, PLACEHOLDERS, QUARANTINE, TEXTS, write_recipes
from ecclip.product_input import DEFINITION, definition

CLEAN_COLUMNS = (
    "listing_id",
    "seller_id",
    "title",
    TITLE_ORIGINAL,
    "grouping_title",
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
    IMAGE_SHA256,
    IMAGE_PHASH,
    IMAGE_ERROR,
)
CLEAN_FOLDERS = (BOILERPLATE, PLACEHOLDERS, TEXTS)  # what a snapshot takes over beside the listings
_NOT_BAD = ("placeholder",)


class CleanConfig(StageConfig):
    """Parameters of cleaning; defaults by judgment."""

    photo: PhotoConfig = Field(PhotoConfig(), description="what a photo becomes, and what decoding one may cost")
    placeholder: PlaceholderConfig = Field(PlaceholderConfig(), description="when a photo is a placeholder or a logo")
    boilerplate: BoilerplateConfig = Field(BoilerplateConfig(), description="when words say nothing of the product")
    max_bad_photo_share: float = Field(0.2, ge=0, le=1, description="above this share of bad photos the run stops")
    parts: int = Field(2, ge=1, description="output files and shuffle partitions")


class _Before(NamedTuple):
    """What the previous snapshot has that was cleaned by the same recipe."""

    texts: DataFrame | None
    photos: Photos | None


@stage
def clean(cfg: CleanConfig, landed: Path, ingested: Path, verdict: Path, previous: Path, output: Path) -> Counts:  # noqa: ARG001
    """Write ``listings/`` with clean text and photos, and ``quarantine/`` with every photo that was refused.

    A listing whose photo is bad stays, with ``image`` null and the reason in ``image_error``. ``boilerplate/`` lists
    the phrases that grouping leaves out of titles, ``placeholders/`` the photos that show no product, ``texts/`` the
    digests of the texts that came in, ``product_input.json`` the form of the photos. Texts and photos of the
    ``previous`` snapshot are taken from there where they are the same; the result is the same without. ``verdict`` is
    an input so that nothing is cleaned before the gate has let it pass.

    Raises:
        ContractError: more photos bad than ``max_bad_photo_share``.
    """
    spark = spark_session(cfg.parts, ingested, landed)
    before = _read_before(spark, cfg, previous)
    scratch = output / "_scratch"
    rows = _write_texts(spark, cfg, landed, ingested, before, output)
    photos = _decode(spark, cfg, landed, ingested, rows, before, scratch / "photos")
    _write_listings(spark, cfg, rows, photos, output)
    work = {"photos_decoded": count_rows(scratch / "photos"), "texts_cleaned": _new_texts(scratch / "rows")}
    shutil.rmtree(scratch)
    write_recipes(recipes(cfg.photo), output)
    write_atomic(output / DEFINITION, canonical_json(definition(cfg.photo.canonical())))
    return _counts(cfg, output, work)


def _read_before(spark: SparkSession, cfg: CleanConfig, previous: Path) -> _Before:
    photos, texts = equal_recipes(cfg.photo, previous)
    return _Before(known_texts(spark, previous) if texts else None, known_photos(spark, previous) if photos else None)


def _write_texts(
    spark: SparkSession, cfg: CleanConfig, landed: Path, ingested: Path, before: _Before, output: Path
) -> DataFrame:
    """Write ``texts/`` and ``boilerplate/``; return the rows with their clean texts, without photos."""
    named = name_photos(spark, landed, spark.read.parquet(str(ingested / LISTINGS)))
    write_as_is(clean_texts(named, before.texts), output / "_scratch" / "rows")
    rows = spark.read.parquet(str(output / "_scratch" / "rows"))
    write_parts(rows.select(*TEXT_COLUMNS), output / TEXTS, cfg.parts)
    phrases = boilerplate(cfg.boilerplate, rows)
    listed = spark.createDataFrame(phrases, BOILERPLATE_SCHEMA)
    write_parts(listed, output / BOILERPLATE, 1, sort=["phrase", "seller_id"])
    return with_grouping_titles(rows, phrases, cfg.boilerplate.phrase_words)


def _decode(
    spark: SparkSession,
    cfg: CleanConfig,
    landed: Path,
    ingested: Path,
    rows: DataFrame,
    before: _Before,
    scratch: Path,
) -> DataFrame:
    """Decode every photo that the snapshot before does not have; return them all by digest."""
    wanted = None
    if before.photos is not None or not holds_nothing_else(landed):
        wanted = rows.select(IMAGE_SHA256).where(F.col(IMAGE_SHA256).isNotNull()).distinct()
        if before.photos is not None:
            wanted = wanted.join(before.photos.said, IMAGE_SHA256, "left_anti")
        wanted = wanted.localCheckpoint()
    photos = photo_bytes(spark, landed, ingested, wanted)
    write_as_is(photos.mapInArrow(photo_cleaner(cfg.photo), CLEANED_PHOTO), scratch)
    fresh = Photos.of(spark.read.parquet(str(scratch)))
    return (fresh if before.photos is None else fresh.and_also(before.photos)).by_digest()


def _write_listings(spark: SparkSession, cfg: CleanConfig, rows: DataFrame, photos: DataFrame, output: Path) -> None:
    shown = _with_photos(rows, photos)
    empty = placeholders(cfg.placeholder, shown).localCheckpoint()
    kept = F.broadcast(empty.withColumn("is_placeholder", F.lit(True)))
    hidden = F.coalesce(F.col("is_placeholder"), F.lit(False)) & F.col(IMAGE_ERROR).isNull()
    listings = shown.join(kept, IMAGE_PHASH, "left").withColumns(
        {
            "image": F.when(~hidden, F.col("image")),
            IMAGE_ERROR: F.when(hidden, F.lit("placeholder")).otherwise(F.col(IMAGE_ERROR)),
        }
    )
    write_parts(listings.select(*CLEAN_COLUMNS), output / LISTINGS, cfg.parts)
    written = spark.read.parquet(str(output / LISTINGS))
    refused = written.where(F.col(IMAGE_ERROR).isNotNull())
    write_parts(_quarantine(refused), output / QUARANTINE, 1)
    digests = refused.where(F.col(IMAGE_ERROR) == "placeholder").select(IMAGE_SHA256).distinct()
    pictures = photos.join(F.broadcast(digests), IMAGE_SHA256, "left_semi")
    write_parts(pictures, output / PLACEHOLDERS, 1, sort=[IMAGE_SHA256])


def _with_photos(rows: DataFrame, photos: DataFrame) -> DataFrame:
    """Return ``rows`` with image, image_phash and image_error of the photo that each names."""
    found = photos.withColumnRenamed(IMAGE_ERROR, "photo_error")
    joined = rows.withColumnRenamed(IMAGE_ERROR, "landed_error").join(found, IMAGE_SHA256, "left")
    lost = F.when(F.col(IMAGE_SHA256).isNotNull() & F.col("image").isNull(), F.lit("missing"))
    return joined.withColumn(IMAGE_ERROR, F.coalesce("landed_error", "photo_error", lost))


def _quarantine(refused: DataFrame) -> DataFrame:
    return refused.select(
        "listing_id",
        F.lit("clean").alias("stage"),
        F.col(IMAGE_ERROR).alias("reason"),
        F.lit("the photo was dropped, the listing stays").alias("detail"),
        F.to_json(F.struct("image_uri", IMAGE_SHA256, IMAGE_PHASH)).alias("row"),
    )


def _new_texts(rows: Path) -> int:
    return int(pc.sum(pq.read_table(rows, columns=["is_new_text"])["is_new_text"]).as_py() or 0)


def _counts(cfg: CleanConfig, output: Path, work: dict[str, int]) -> Counts:
    reasons = count_values(output / QUARANTINE, "reason")
    photos = count_given(output / LISTINGS, PHOTO_SAYS)
    bad = {name: count for name, count in reasons.items() if name not in _NOT_BAD}
    refuse_share("photos", bad, photos, cfg.max_bad_photo_share, output)
    listings = count_rows(output / LISTINGS)
    return Counts(
        read={"listings": listings, "photos": photos},
        written={"listings": listings, "photos": photos - sum(reasons.values())},
        dropped=reasons,
        detail={**work, "boilerplate_phrases": count_rows(output / BOILERPLATE)},
    )
