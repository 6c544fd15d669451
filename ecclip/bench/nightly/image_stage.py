"""The image stage against two plain ways to the same photos: mapInArrow without its sandbox, and two Python
processes."""

from __future__ import annotations

import io
import multiprocessing
import multiprocessing.pool
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ecclip.catalog.clean.photo import clean_photo
from ecclip.catalog.clean.photos import CLEANED_PHOTO, PhotoConfig, photo_cleaner
from ecclip.catalog.spark.parts import count_rows, write_as_is
from ecclip.catalog.spark.session import spark_session
from ecclip.core import sha256_bytes
from ecclip.formats.columns import IMAGE_PHASH, IMAGE_SHA256

_SCHEMA = pa.schema([(IMAGE_SHA256, pa.string()), ("image", pa.binary())])
_CLEANED = f"{IMAGE_SHA256} string, image binary, {IMAGE_PHASH} string"
_CLEANED_SCHEMA = pa.schema([*_SCHEMA, (IMAGE_PHASH, pa.string())])
_PROCESSES = 2  # one per core of the reference machine
_GROUP = 256  # rows of a row group, as `land.chunk_photos`
_DETAIL = 16  # the finest grain of the pictures, pixels: what a product photo on a plain ground has


class ImageStageRates(NamedTuple):
    """Photos per second, the median of the rounds; every way decodes, hashes, encodes and writes all of them.

    ``stage`` is the image stage, ``arrow`` the same function in mapInArrow without a sandbox process,
    ``twin`` the same function in two Python processes without Spark.
    """

    photos: int
    stage: float
    arrow: float
    twin: float

    @property
    def ratio(self) -> float:
        """The stage's rate as a share of plain mapInArrow's."""
        return self.stage / self.arrow


def image_stage_rates(folder: Path, photos: int = 4000, side: int = 256, rounds: int = 7) -> ImageStageRates:
    """Decode, hash, encode and write ``photos`` JPEGs of ``side`` pixels below ``folder``, in turn by each way.

    All read the same two Parquet files and write two; the Spark session and all processes are started before the clock.
    """
    source = folder / "photos"
    _write_photos(source, photos, side)
    ways: dict[str, list[float]] = {"stage": [], "arrow": [], "twin": []}
    with multiprocessing.get_context("spawn").Pool(_PROCESSES) as pool:
        pool.map(abs, range(_PROCESSES))
        work: dict[str, Callable[[Path, Path], None]]
        work = {"stage": _stage, "arrow": _arrow, "twin": partial(_twin, pool)}
        _stage(source, folder / "warm")
        for number in range(rounds):
            for name, way in work.items():
                target = folder / f"{name}-{number}"
                ways[name].append(photos / _seconds(partial(way, source, target)))
                if count_rows(target) != photos:
                    raise ValueError(f"{name} wrote {count_rows(target)} photos of {photos}")
    return ImageStageRates(photos, *map(median, ways.values()))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _stage(source: Path, target: Path) -> None:
    spark = spark_session(_PROCESSES, source)
    rows = spark.read.parquet(str(source))
    write_as_is(rows.mapInArrow(photo_cleaner(PhotoConfig.model_validate({})), CLEANED_PHOTO), target)


def _arrow(source: Path, target: Path) -> None:
    rows = spark_session(_PROCESSES, source).read.parquet(str(source))
    write_as_is(rows.mapInArrow(_clean_batches, _CLEANED), target)


def _clean_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield _clean_batch(batch)


def _twin(pool: multiprocessing.pool.Pool, source: Path, target: Path) -> None:
    target.mkdir()
    pool.starmap(_clean_file, [(path, target / path.name) for path in sorted(source.glob("*.parquet"))])


def _clean_file(source: Path, target: Path) -> None:
    with pq.ParquetWriter(target, _CLEANED_SCHEMA) as writer:
        for batch in pq.ParquetFile(source).iter_batches(_GROUP):
            writer.write_batch(_clean_batch(batch))


def _clean_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    cfg = PhotoConfig.model_validate({})
    rows = []
    for digest, image in zip(batch.column(IMAGE_SHA256), batch.column("image"), strict=True):
        photo = clean_photo(image.as_py(), cfg.canonical())
        rows.append((digest.as_py(), photo.image, photo.phash))
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _CLEANED_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_CLEANED_SCHEMA)


def _write_photos(folder: Path, photos: int, side: int) -> None:
    folder.mkdir(parents=True)
    for number in range(_PROCESSES):
        with pq.ParquetWriter(folder / f"part-{number}.parquet", _SCHEMA, compression="none") as writer:
            for images in _batches(range(number, photos, _PROCESSES), side):
                writer.write_batch(pa.RecordBatch.from_pylist(images, schema=_SCHEMA))


def _batches(numbers: range, side: int) -> Iterable[list[dict[str, object]]]:
    for start in range(0, len(numbers), _GROUP):
        images = [_picture(number, side) for number in numbers[start : start + _GROUP]]
        yield [{IMAGE_SHA256: sha256_bytes(image), "image": image} for image in images]


def _picture(seed: int, side: int) -> bytes:
    """Return a JPEG of smooth random colours, about as large as a product photo of that size."""
    grain = np.random.default_rng(seed).integers(0, 256, (side // _DETAIL, side // _DETAIL, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grain).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
