"""Damaged photos: each gets its reason, every listing stays, no worker dies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import hostile_photos
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_photos import PHOTOS
from chain import run_chain
from dumps import picture, write_dump
from hostile_photos import hostile, register
from PIL import Image
from pyspark import cloudpickle

from ecclip.catalog.clean.photos import CLEANED_PHOTO, PhotoConfig, photo_cleaner
from ecclip.catalog.spark.session import spark_session
from ecclip.core import ContractError

pytestmark = [pytest.mark.spark, pytest.mark.fault(3)]


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"listing_id": f"l-{name}", "title": f"Mug {name}", "image_uri": f"images/{name}", "seller_id": "s"}
        for name in PHOTOS
    ]
    photos = {f"images/{name}": data for name, (data, _) in PHOTOS.items() if data is not None}
    return write_dump(tmp_path_factory.mktemp("photos") / "dump", rows, photos)


def test_each_photo_gets_its_reason_and_every_listing_stays(dump: Path, tmp_path: Path) -> None:
    out = run_chain(tmp_path, dump, until="clean", gate=False, clean={"max_bad_photo_share": 1.0})
    rows = {row["listing_id"][2:]: row for row in pq.read_table(out / "listings").to_pylist()}
    assert {name: row["image_error"] for name, row in rows.items()} == {name: why for name, (_, why) in PHOTOS.items()}
    for name, (_, why) in PHOTOS.items():
        assert (rows[name]["image"] is None) == (why is not None)
        if why is None:
            assert Image.open(io.BytesIO(rows[name]["image"])).mode == "RGB"
    rejected = pq.read_table(out / "quarantine").to_pylist()
    assert {row["listing_id"][2:]: row["reason"] for row in rejected} == {
        k: why for k, (_, why) in PHOTOS.items() if why
    }


def test_too_many_bad_photos_stop_the_run_with_the_counts(dump: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"too many photos were rejected: .*not_an_image 2"):
        run_chain(tmp_path, dump, until="clean", gate=False, clean={"max_bad_photo_share": 0.5})
    assert not (tmp_path / "clean").exists()


def test_a_decoder_that_crashes_or_hangs_in_a_worker_costs_its_photo_and_not_the_job() -> None:
    cloudpickle.register_pickle_by_value(hostile_photos)  # the worker does not find the tests' modules
    photos = {"good": picture(1), "crash": hostile("crash"), "loop": hostile("loop"), "last": picture(2)}
    clean = photo_cleaner(PhotoConfig.model_validate({"decode_s": 2.0}))

    def clean_hostile(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        register()
        yield from clean(batches)

    frame = spark_session(2).createDataFrame(list(photos.items()), "image_sha256 string, image binary").coalesce(1)
    rows = frame.mapInArrow(clean_hostile, CLEANED_PHOTO).collect()
    assert [(row["image_sha256"], row["image_error"]) for row in rows] == [
        ("good", None), ("crash", "decoder_crashed"), ("loop", "decoder_timeout"), ("last", None)
    ]  # fmt: skip
    assert all((row["image"] is None) == (row["image_error"] is not None) for row in rows)
