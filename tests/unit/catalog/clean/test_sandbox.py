"""Risky work in a child: results in order, and what kills the child costs that one item its result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psutil
import pyarrow as pa
import pytest
from dumps import picture
from hostile_photos import hostile, register

from ecclip.catalog.clean.photo import clean_photo
from ecclip.catalog.clean.photos import PhotoConfig, photo_cleaner
from ecclip.catalog.clean.sandbox import Limits, run_each

CFG: dict[str, Any] = {"image_side": 64, "max_pixels": 1_000_000, "decode_s": 60.0, "decode_bytes": 1 << 29}
CRASHED, TIMEOUT = "decoder_crashed", "decoder_timeout"
Row = tuple[bytes | None, str | None, str | None]  # photo, hash, error


def cleaned(photos: list[bytes], **settings: float) -> list[Row]:
    """Return what the stage makes of a batch of photos."""
    clean = photo_cleaner(PhotoConfig.model_validate({**CFG, **settings}))
    digests = [f"{number}" for number in range(len(photos))]
    batch = pa.RecordBatch.from_pydict({"image_sha256": digests, "image": pa.array(photos, pa.binary())})
    (found,) = clean(iter([batch]))
    assert found.column("image_sha256").to_pylist() == digests
    columns = (found.column(name).to_pylist() for name in ("image", "image_phash", "image_error"))
    return list(zip(*columns, strict=True))


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children()}  # Spark's, of other tests
    yield
    assert [child for child in psutil.Process().children() if child.pid not in before] == []


def test_results_come_in_order_and_are_those_of_a_plain_call() -> None:
    photos = [picture(number, (300, 300)) for number in range(40)]
    plain = [clean_photo(photo, PhotoConfig.model_validate(CFG).canonical()) for photo in photos]
    assert cleaned(photos) == [(one.image, one.phash, one.error) for one in plain]
    assert cleaned([]) == []


@pytest.mark.fault(3)
def test_a_decoder_that_dies_hangs_or_swallows_memory_costs_its_own_photo() -> None:
    register()
    good = picture(1)
    photos = [good, hostile("crash"), good, hostile("abort"), hostile("grow"), good]
    before = psutil.Process().memory_info().rss
    found = cleaned(photos)
    assert [error for _, _, error in found] == [None, CRASHED, None, CRASHED, "too_large", None]
    assert found[0] == found[2] == found[5]
    # seconds of the processor, for what uses it for ever
    assert cleaned([good, hostile("loop"), good], decode_s=2) == [found[0], (None, None, TIMEOUT), found[0]]
    assert psutil.Process().memory_info().rss - before < 100 << 20


@pytest.mark.fault(3)
def test_a_decoder_that_waits_for_ever_is_ended_by_the_clock() -> None:
    register()
    assert cleaned([hostile("wait"), picture(1)], decode_s=0.2)[0] == (None, None, TIMEOUT)


def test_who_stops_listening_leaves_no_process_behind() -> None:
    def work(number: int) -> bytes:
        return os.urandom(1 << 20)

    results = run_each(1000, work, Limits(seconds=60.0, memory_bytes=1 << 29))
    next(results)
    results.close()


@pytest.mark.parametrize(("over", "error"), [(0, None), (1, "too_large")])
def test_the_limit_of_pixels_is_the_configured_one(over: int, error: str | None) -> None:
    width, height = 96, 80
    ((_, _, found),) = cleaned([picture(1, (width, height))], max_pixels=width * height - over)
    assert found == error
