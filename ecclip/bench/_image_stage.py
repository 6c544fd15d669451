"""The image stage against its plain twin: the same photos, the same function, Spark against two Python processes."""

from __future__ import annotations

import io
import multiprocessing
import multiprocessing.pool
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ecclip.catalog._clean_photos import CLEANED_PHOTO, PhotoConfig, photo_cleaner
from ecclip.catalog._parts import count_rows, write_as_is
from ecclip.catalog._photo import clean_photo
from ecclip.catalog._spark import spark_session
from ecclip.core import sha256_bytes

_SCHEMA = pa.schema([("image_sha256", pa.string()), ("image", pa.binary())])
_PROCESSES = 2
_GROUP = 256
_DETAIL = 16  # the finest grain of the pictures, pixels: what a product photo on a plain ground has


class ImageStageRates(NamedTuple):
    """Photos per second of the image stage and of its twin, best of the rounds; both write what they make."""

    photos: int
    stage: float
    twin: float

    @property
    def ratio(self) -> float:
        """The stage's rate as a share of the twin's."""
        return self.stage / self.twin


def image_stage_rates(folder: Path, photos: int = 4000, side: int = 256, rounds: int = 3) -> ImageStageRates:
    """Decode, hash, encode and write ``photos`` JPEGs of ``side`` pixels below ``folder``, alternately by both.

    Both read the same two Parquet files and write two; the Spark session and both pools are started before the clock.
    """
    source = folder / "photos"
    _write_photos(source, photos, side)
    stage, twin = [], []
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        pool.map(abs, range(_PROCESSES))
        _stage(source, folder / "warm")
        for number in range(rounds):
            one, other = folder / f"stage-{number}", folder / f"twin-{number}"
            stage.append(photos / _seconds(partial(_stage, source, one)))
            twin.append(photos / _seconds(partial(_twin, pool, source, other)))
            made = [count_rows(one), count_rows(other)]
            if made != [photos, photos]:
                raise ValueError(f"the image stage and its twin wrote {made} photos of {photos}")
    return ImageStageRates(photos, max(stage), max(twin))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _stage(source: Path, target: Path) -> None:
    spark = spark_session(_PROCESSES, source)
    rows = spark.read.parquet(str(source))
    write_as_is(rows.mapInArrow(photo_cleaner(PhotoConfig.model_validate({})), CLEANED_PHOTO), target)


def _twin(pool: multiprocessing.pool.Pool, source: Path, target: Path) -> None:
    target.mkdir()
    pool.starmap(_clean_file, [(path, target / path.name) for path in sorted(source.glob("*.parquet"))])


def _clean_file(source: Path, target: Path) -> None:
    cfg = PhotoConfig.model_validate({})
    limits = {"side": cfg.image_side, "quality": cfg.jpeg_quality, "max_pixels": cfg.max_pixels}
    schema = pa.schema([("image_sha256", pa.string()), ("image", pa.binary()), ("image_phash", pa.string())])
    with pq.ParquetWriter(target, schema) as writer:
        for batch in pq.ParquetFile(source).iter_batches(_GROUP):
            rows = []
            for digest, image in zip(batch.column("image_sha256"), batch.column("image"), strict=True):
                photo = clean_photo(image.as_py(), **limits)
                rows.append({"image_sha256": digest.as_py(), "image": photo.image, "image_phash": photo.phash})
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))


def _write_photos(folder: Path, photos: int, side: int) -> None:
    folder.mkdir(parents=True)
    for number in range(_PROCESSES):
        with pq.ParquetWriter(folder / f"part-{number}.parquet", _SCHEMA, compression="none") as writer:
            for images in _batches(range(number, photos, _PROCESSES), side):
                writer.write_batch(pa.RecordBatch.from_pylist(images, schema=_SCHEMA))


def _batches(numbers: range, side: int) -> Iterable[list[dict[str, object]]]:
    for start in range(0, len(numbers), _GROUP):
        images = [_picture(number, side) for number in numbers[start : start + _GROUP]]
        yield [{"image_sha256": sha256_bytes(image), "image": image} for image in images]


def _picture(seed: int, side: int) -> bytes:
    """Return a JPEG of smooth random colours, about as large as a product photo of that size."""
    grain = np.random.default_rng(seed).integers(0, 256, (side // _DETAIL, side // _DETAIL, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grain).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
