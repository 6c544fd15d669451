"""Photos that show no product, found by how many sellers use them in how many categories; no list of pictures."""

from __future__ import annotations

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ecclip.core import StageConfig
from ecclip.formats.columns import IMAGE_PHASH

_BANDS = 4  # of 16 bits: hashes that differ in fewer bits than there are bands have a band in common


class PlaceholderConfig(StageConfig):
    """When a photo is a placeholder or a logo; defaults by judgment."""

    listings: int = Field(5, ge=2, description="a photo is a placeholder from this many listings on")
    sellers: int = Field(
        4, ge=1, description="... of this many sellers; one more category makes up for each missing seller"
    )
    categories: int = Field(3, ge=1, description="... in at least this many categories")
    distance: int = Field(
        2, ge=0, lt=_BANDS, description="largest Hamming distance of photo hashes (64 bits) that count as one picture"
    )


def placeholders(cfg: PlaceholderConfig, used: DataFrame) -> DataFrame:
    """Return ``image_phash`` of the pictures that show no product; ``used`` has image_phash, seller_id and category.

    Sellers re-encode the same picture, which flips a bit or two of its hash: the uses of near hashes are counted
    together, around those hashes that by themselves are in two categories. Where a shop has few sellers, or a logo
    belongs to one, each missing seller must be made up for by one more category.
    """
    uses = used.where(F.col(IMAGE_PHASH).isNotNull()).select(
        IMAGE_PHASH,
        F.coalesce("seller_id", F.lit("")).alias("seller"),
        F.concat_ws("/", "category").alias("place"),
    )
    uses = uses.groupBy(IMAGE_PHASH, "seller", "place").agg(F.count("*").alias("listings"))
    hashes = uses.groupBy(IMAGE_PHASH).agg(
        F.sum("listings").alias("listings"), F.countDistinct("place").alias("places")
    )
    seeds = hashes.where((F.col("places") > 1) & (F.col("listings") > 1)).select(F.col(IMAGE_PHASH).alias("seed"))
    near = _near(hashes.select(IMAGE_PHASH), seeds, cfg.distance).localCheckpoint()
    counted = (
        near.join(uses, IMAGE_PHASH)
        .groupBy("seed")
        .agg(
            F.sum("listings").alias("listings"),
            F.countDistinct("seller").alias("sellers"),
            F.countDistinct("place").alias("places"),
        )
    )
    missing = F.greatest(F.lit(cfg.sellers) - F.col("sellers"), F.lit(0))
    enough = (F.col("listings") >= cfg.listings) & (F.col("places") >= F.lit(cfg.categories) + missing)
    return near.join(counted.where(enough), "seed").select(IMAGE_PHASH).distinct()


def _near(hashes: DataFrame, seeds: DataFrame, distance: int) -> DataFrame:
    """Return ``seed, image_phash`` of all hashes within ``distance`` bits of a seed."""
    left = hashes.select(IMAGE_PHASH, F.explode(F.array(*_bands(IMAGE_PHASH))).alias("band"))
    right = seeds.select("seed", F.explode(F.array(*_bands("seed"))).alias("band"))
    apart = F.bit_count(_bits(IMAGE_PHASH).bitwiseXOR(_bits("seed")))
    return left.join(right, "band").where(apart <= distance).select("seed", IMAGE_PHASH).distinct()


def _bands(name: str) -> list[Column]:
    return [F.concat(F.lit(f"{band}:"), F.substring(name, 4 * band + 1, 4)) for band in range(_BANDS)]


def _bits(name: str) -> Column:
    return F.conv(name, 16, -10).cast("bigint")
