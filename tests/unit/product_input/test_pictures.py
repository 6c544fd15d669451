"""What is a photo, for cleaning and for the server alike: the formats, the first picture, the limits, the budget."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dumps import picture
from PIL import Image, ImageOps

from ecclip.catalog.clean.photo import clean_photo
from ecclip.catalog.clean.stage import CleanConfig
from ecclip.product_input import (
    FORMATS,
    MAX_PIXELS,
    MESSAGE_PIXELS,
    MIN_SIDE,
    CanonicalPhoto,
    PixelBudget,
    PreprocessingError,
    open_image,
)

ROOT = Path(__file__).parents[3]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason(data: bytes) -> str | None:
    """Return why a photo is refused, once cleaning and serving have said the same."""
    cleaned = clean_photo(data, CanonicalPhoto(64)).error
    served = None
    try:
        open_image(data, 64)
    except PreprocessingError as error:
        served = error.reason
    assert served == cleaned
    return served


def with_second_picture(first: Image.Image, second: Image.Image) -> bytes:
    return encoded(first, "MPO", save_all=True, append_images=[second])


RED, BLUE = Image.new("RGB", (80, 60), (200, 20, 20)), Image.new("RGB", (80, 60), (20, 20, 200))


def test_of_a_jpeg_with_a_second_picture_behind_it_the_first_is_the_photo() -> None:
    data = with_second_picture(RED, BLUE)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert reason(data) is None
    assert open_image(data, 64).getpixel((40, 30))[0] > 150


def test_a_damaged_second_picture_does_not_cost_the_first() -> None:
    data = with_second_picture(RED, BLUE)
    second = data.rindex(b"\xff\xd8\xff")
    assert reason(data[: second + 40]) is None
    index = data.index(b"MPF\0")
    assert reason(data[: index + 8] + b"\xff" * 40 + data[index + 48 :]) is None


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n", b"\r\n\r\n", b"\xef\xbb\xbf\r\n", b" \t\n"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_a_mark_or_line_ends_before_the_picture_are_overlooked(before: bytes, kind: str) -> None:
    data = encoded(RED, kind)
    assert reason(before + data) is None
    np.testing.assert_array_equal(open_image(before + data, 64), open_image(data, 64))


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 3), (MIN_SIDE - 1, 200), (200, MIN_SIDE - 1)])
@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_a_counter_a_spacer_or_a_line_is_no_photo(size: tuple[int, int], kind: str) -> None:
    assert reason(encoded(Image.new("L", size), kind)) == "too_small"
    assert reason(encoded(Image.new("L", (MIN_SIDE, MIN_SIDE)), kind)) is None


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_several_moments_are_animated_whatever_the_format(kind: str) -> None:
    assert reason(encoded(RED, kind, save_all=True, append_images=[BLUE])) == "animated"


def test_every_format_of_the_list_is_read_and_no_other() -> None:
    Image.init()
    assert [reason(encoded(RED, kind)) for kind in FORMATS] == [None] * len(FORMATS)
    others = sorted({*Image.SAVE, *Image.OPEN} - {*FORMATS, "MPO", "DIB"})
    refused = 0
    for kind in others:
        try:
            data = encoded(RED, kind)
        except Exception:  # noqa: BLE001 - whatever Pillow cannot write cannot be tried here
            continue
        assert reason(data) == "not_an_image", kind
        refused += 1
    assert refused >= 10
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n") == "not_an_image"
    assert reason(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "not_an_image"


def test_wherever_a_picture_is_opened_its_formats_are_named() -> None:
    opens = {
        path.relative_to(ROOT).as_posix()
        for path in [*(ROOT / "ecclip").rglob("*.py"), *(ROOT / "triton_models").rglob("*.py")]
        if re.search(r"Image\.open\((?![^\n]*formats=)", path.read_text())
    }
    assert opens == set()


def test_a_photo_at_the_limit_of_pixels_is_read_and_one_above_is_not() -> None:
    wide = 4000
    line = MAX_PIXELS // wide
    assert reason(encoded(Image.new("L", (wide, line)), "PNG")) is None
    assert reason(encoded(Image.new("L", (wide, line + 1)), "PNG")) == "too_large"
    assert reason(encoded(Image.new("L", (wide, line + 1)), "JPEG")) == "too_large"


def test_cleaning_has_the_limit_of_the_server_and_can_be_given_another() -> None:
    assert CleanConfig().photo.max_pixels == MAX_PIXELS
    data = encoded(Image.new("RGB", (100, 100)), "PNG")
    assert clean_photo(data, CanonicalPhoto(64, 90, 9_999)).error == "too_large"
    assert clean_photo(data, CanonicalPhoto(64, 90, 10_000)).error is None


def test_a_message_decodes_no_more_pixels_than_its_budget() -> None:
    budget = PixelBudget(3 * 100 * 100)
    data = encoded(Image.new("RGB", (100, 100)), "PNG")
    for _ in range(3):
        open_image(data, 32, budget=budget)
    with pytest.raises(PreprocessingError, match="fewer listings") as caught:
        open_image(data, 32, budget=budget)
    assert caught.value.reason == "over_budget"
    assert open_image(encoded(RED.resize((20, 20)), "PNG"), 16, budget=PixelBudget()).size == (20, 20)


def test_a_whole_message_of_photos_of_a_phone_is_within_the_budget() -> None:
    budget = PixelBudget()
    data = encoded(Image.new("RGB", (4000, 3000)), "JPEG")
    for _ in range(32):
        open_image(data, 224, budget=budget)
    assert MESSAGE_PIXELS >= MAX_PIXELS


def test_a_large_picture_with_transparency_comes_reduced_and_on_white() -> None:
    image = Image.new("RGBA", (1024, 768), (10, 10, 10, 0))
    image.paste((200, 0, 0, 255), (0, 0, 512, 768))
    small = open_image(encoded(image, "PNG"), 64)
    assert min(small.size) == 768 // (768 // 128)
    assert small.getpixel((10, 10)) == (200, 0, 0)
    assert small.getpixel((small.width - 10, 10)) == (255, 255, 255)


@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\xff", b"garbage", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02"])
def test_a_damaged_note_of_the_camera_does_not_cost_the_photo(exif: bytes) -> None:
    assert reason(encoded(RED, "JPEG", exif=b"Exif\0\0" + exif)) is None


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_comes_upright(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(Image.open(io.BytesIO(picture(5, (90, 60)))), "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(open_image(data, 64), expected)


def test_cleaning_loads_neither_a_tokenizer_nor_torch() -> None:
    code = "import sys, ecclip.catalog.clean.photo; print(sorted({'torch', 'tokenizers'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_cleaning_and_serving_decode_with_the_same_pillow() -> None:
    locks = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("main", "serving", "production")}
    pins = {name: re.findall(r"^pillow==(\S+)", lock, re.MULTILINE) for name, lock in locks.items()}
    assert len({tuple(pin) for pin in pins.values()}) == 1, pins
    assert all(pins.values())
