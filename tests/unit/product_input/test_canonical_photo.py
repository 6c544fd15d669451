"""The canonical photo: the same bytes whoever makes them, once or twice, and nothing in them but the picture."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from dumps import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from packages import TOKENIZER
from PIL import Image

from ecclip.catalog.clean.photo import clean_photo
from ecclip.catalog.clean.photos import PhotoConfig
from ecclip.catalog.clean.stage import CleanConfig
from ecclip.product_input import CanonicalPhoto, PreprocessingError, Preprocessor, canonical_jpeg, is_canonical

FORM = CanonicalPhoto(side=64)
KINDS = {"JPEG": ["RGB", "L", "CMYK"], "PNG": ["RGB", "RGBA", "P", "L"], "WEBP": ["RGB"], "GIF": ["P"], "BMP": ["RGB"]}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([(kind, mode) for kind, modes in KINDS.items() for mode in modes]),
    st.tuples(st.integers(16, 300), st.integers(16, 300)),
    st.integers(0, 9),
)
def test_a_second_time_changes_nothing(kind: tuple[str, str], size: tuple[int, int], seed: int) -> None:
    image = Image.open(io.BytesIO(picture(seed, (90, 60)))).resize(size).convert(kind[1])
    once, _ = canonical_jpeg(encoded(image, kind[0]), FORM)
    assert is_canonical(once, FORM)
    assert canonical_jpeg(once, FORM)[0] == once
    assert min(Image.open(io.BytesIO(once)).size) == min(*size, FORM.side)


def test_a_photo_gives_models_the_pixels_of_its_canonical_jpeg() -> None:
    preprocessor = Preprocessor(32, 12, TOKENIZER, FORM)
    for seed, size in enumerate([(300, 200), (40, 90), (64, 64), (1600, 1200)]):
        data = encoded(Image.open(io.BytesIO(picture(seed, (90, 60)))).resize(size), "PNG")
        kept = clean_photo(data, FORM).image
        assert kept is not None
        np.testing.assert_array_equal(preprocessor.image(data), preprocessor.pixels(kept))
        np.testing.assert_array_equal(preprocessor.image(kept), preprocessor.pixels(kept))


@pytest.mark.parametrize(
    "other",
    [
        replace(FORM, side=63),
        replace(FORM, quality=89),
    ],
)
def test_what_is_canonical_for_one_form_is_not_for_another(other: CanonicalPhoto) -> None:
    data, _ = canonical_jpeg(picture(1, (200, 100)), FORM)
    assert not is_canonical(data, other)
    assert canonical_jpeg(data, other)[0] != data


def test_nothing_but_the_picture_is_kept() -> None:
    image = Image.open(io.BytesIO(picture(2, (60, 50))))
    plain, _ = canonical_jpeg(encoded(image, "JPEG", quality=90), FORM)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    for extra in ({"comment": b"seller 7"}, {"exif": exif}, {"icc_profile": b"colours"}, {"xmp": b"<x/>"}):
        data = encoded(image, "JPEG", quality=90, **extra)
        assert not is_canonical(data, FORM)
        found, _ = canonical_jpeg(data, FORM)
        assert is_canonical(found, FORM)
        assert len(found) <= len(plain) + 200
    assert not is_canonical(plain + b"behind it", FORM)
    assert canonical_jpeg(plain, FORM)[0] == plain


def test_a_canonical_photo_that_is_cut_off_is_refused_as_damaged() -> None:
    data, _ = canonical_jpeg(picture(3, (60, 50)), FORM)
    with pytest.raises(PreprocessingError) as caught:
        canonical_jpeg(data[: len(data) // 2], FORM)
    assert caught.value.reason == "truncated"


def test_a_photo_too_long_for_a_jpeg_is_refused() -> None:
    with pytest.raises(PreprocessingError) as caught:
        canonical_jpeg(encoded(Image.new("L", (70_000, 16)), "PNG"), FORM)
    assert caught.value.reason == "too_large"


def test_cleaning_says_what_form_it_keeps() -> None:
    assert CleanConfig().photo.canonical() == CanonicalPhoto()
    assert PhotoConfig(image_side=99, jpeg_quality=50, max_pixels=7).canonical() == CanonicalPhoto(99, 50, 7)
