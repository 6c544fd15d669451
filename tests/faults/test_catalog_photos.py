"""Damaged photos: each gets its reason, every listing stays, no worker dies."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import hostile_photos
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chain import run_chain
from dumps import picture, write_dump
from hostile_photos import hostile, register
from PIL import Image
from pyspark import cloudpickle

from ecclip.catalog._clean_photos import CLEANED_PHOTO, PhotoConfig, photo_cleaner
from ecclip.catalog._spark import spark_session
from ecclip.core import ContractError

pytestmark = pytest.mark.fault(3)


def bomb(side: int) -> bytes:
    """Return a PNG of side x side grey pixels whose file is small."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    line = bytes(1 + side)
    rows = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def sixteen_bit() -> bytes:
    buffer = io.BytesIO()
    Image.new("I;16", (40, 40), 40_000).save(buffer, "PNG")
    return buffer.getvalue()


PHOTOS = {
    "good.jpg": (picture(1), None),
    "cmyk.jpg": (picture(2, mode="CMYK"), None),
    "sixteen.png": (sixteen_bit(), None),
    "png_called_jpg.jpg": (picture(3, kind="PNG"), None),
    "truncated.jpg": (picture(4, size=(300, 300))[:2000], "truncated"),
    "empty.jpg": (b"", "empty"),
    "page.jpg": (b"<html>503</html>", "not_an_image"),
    "wrong_magic.jpg": (b"\x00\x00" + picture(5)[2:], "not_an_image"),
    "animated.jpg": (animated(), "animated"),
    "bomb.png": (bomb(30_000), "too_large"),
    "not_there.jpg": (None, "missing"),
}


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
    clean = photo_cleaner(PhotoConfig.model_validate({"decode_s": 0.5}))

    def clean_hostile(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        register()
        yield from clean(batches)

    frame = spark_session(2).createDataFrame(list(photos.items()), "image_sha256 string, image binary").coalesce(1)
    rows = frame.mapInArrow(clean_hostile, CLEANED_PHOTO).collect()
    assert [(row["image_sha256"], row["image_error"]) for row in rows] == [
        ("good", None), ("crash", "decoder_crashed"), ("loop", "decoder_timeout"), ("last", None)
    ]  # fmt: skip
    assert all((row["image"] is None) == (row["image_error"] is not None) for row in rows)
