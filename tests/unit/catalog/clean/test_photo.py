"""Photo cleaning: upright RGB of at most the asked side, repeatable bytes, the hash that imagehash gives."""

from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from dumps import picture
from PIL import Image

from ecclip.catalog.clean.photo import Photo, clean_photo
from ecclip.product_input import CanonicalPhoto


def clean(data: bytes | None) -> Photo:
    return clean_photo(data, CanonicalPhoto(64, 90, 1_000_000))


def opened(photo: Photo) -> Image.Image:
    assert photo.error is None
    assert photo.image is not None
    return Image.open(io.BytesIO(photo.image))


def test_the_shorter_side_is_reduced_and_never_enlarged() -> None:
    assert opened(clean(picture(1, (200, 100)))).size == (128, 64)
    assert opened(clean(picture(1, (40, 30)))).size == (40, 30)


def test_equal_bytes_in_give_equal_bytes_out_and_an_equal_hash() -> None:
    data = picture(2, (64, 64))
    photo = clean(data)
    assert photo == clean(data)
    assert photo.phash == str(imagehash.phash(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "L"), ("PNG", "RGBA"), ("WEBP", "RGB")]
)
def test_every_mode_becomes_rgb(kind: str, mode: str) -> None:
    photo = clean(picture(3, kind=kind, mode=mode))
    assert opened(photo).mode == "RGB"
    plain = np.asarray(opened(clean(picture(3))).convert("L"), dtype=float)
    assert abs(np.asarray(opened(photo).convert("L"), dtype=float) - plain).mean() < 12


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    values = np.asarray(opened(clean(buffer.getvalue())))
    assert values.min() < 10
    assert values.max() > 245
    assert 110 < values.mean() < 145


def test_the_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 60, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    upright = opened(clean(buffer.getvalue()))
    assert upright.size == (40, 60)
    assert upright.getpixel((36, 30))[0] < 60


def test_transparency_becomes_white() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(buffer, "PNG")
    assert opened(clean(buffer.getvalue())).getpixel((5, 5)) == (255, 255, 255)


def test_without_a_photo_the_reason_is_missing() -> None:
    assert clean(None) == Photo(None, None, "missing")
