"""Risky work in a child: results in order, and what kills the child costs that one item its result."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pyarrow as pa
import pytest
from dumps import picture
from hostile_photos import hostile, register

from ecclip.catalog.clean import sandbox
from ecclip.catalog.clean.photo import Photo, clean_photo
from ecclip.catalog.clean.photos import PhotoConfig, photo_cleaner
from ecclip.catalog.clean.sandbox import CRASHED, TIMEOUT, Died, Limits, run_each
from ecclip.product_input import CanonicalPhoto

LIMITS = Limits(seconds=60.0, memory_bytes=1 << 29)
SHORT = Limits(seconds=2.0, memory_bytes=1 << 29)  # of the processor, for what uses it for ever


def cleaned(photos: list[bytes], limits: Limits = LIMITS) -> list[Photo | Died]:
    def work(number: int) -> Photo:
        return clean_photo(photos[number], CanonicalPhoto(64, 90, 1_000_000))

    return list(run_each(len(photos), work, limits))


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children()}  # Spark's, of other tests
    yield
    assert [child for child in psutil.Process().children() if child.pid not in before] == []


def test_results_come_in_order_and_are_those_of_a_plain_call() -> None:
    photos = [picture(number, (300, 300)) for number in range(40)]
    plain = [clean_photo(photo, CanonicalPhoto(64, 90, 1_000_000)) for photo in photos]
    assert cleaned(photos) == plain
    assert cleaned([]) == []


@pytest.mark.fault(3)
def test_a_decoder_that_dies_hangs_or_swallows_memory_costs_its_own_photo() -> None:
    register()
    good = picture(1)
    photos = [good, hostile("crash"), good, hostile("abort"), hostile("grow"), good]
    before = psutil.Process().memory_info().rss
    found = cleaned(photos)
    reasons = [photo.reason if isinstance(photo, Died) else photo.error for photo in found]
    assert reasons == [None, CRASHED, None, CRASHED, "too_large", None]
    assert found[0] == found[2] == found[5]
    assert cleaned([good, hostile("loop"), good], SHORT) == [found[0], Died(TIMEOUT), found[0]]
    assert psutil.Process().memory_info().rss - before < 100 << 20


@pytest.mark.fault(3)
def test_a_decoder_that_waits_for_ever_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    monkeypatch.setattr(sandbox, "_PATIENCE", 2)
    assert cleaned([hostile("wait"), picture(1)], SHORT)[0] == Died(TIMEOUT)


def test_who_stops_listening_leaves_no_process_behind() -> None:
    def work(number: int) -> bytes:
        return os.urandom(1 << 20)

    results = run_each(1000, work, LIMITS)
    next(results)
    results.close()


@pytest.mark.parametrize(("over", "error"), [(0, None), (1, "too_large")])
def test_the_limit_of_pixels_is_the_configured_one(over: int, error: str | None) -> None:
    width, height = 96, 80
    clean = photo_cleaner(PhotoConfig.model_validate({"max_pixels": width * height - over}))
    photo = picture(1, (width, height))
    batch = pa.RecordBatch.from_pydict({"image_sha256": ["a"], "image": [photo]})
    (cleaned,) = clean(iter([batch]))
    assert cleaned.column("image_error").to_pylist() == [error]
