"""What towers see: every kind of picture and every kind of text."""

from __future__ import annotations

import ast
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from packages import TOKENIZER
from PIL import Image

from ecclip import product_input
from ecclip.product_input import PreprocessingError, Preprocessor, open_image


@pytest.fixture(scope="module")
def preprocessor() -> Preprocessor:
    return Preprocessor(32, 12, TOKENIZER)


def _bytes(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _claiming(width: int, height: int) -> bytes:
    """Return a PNG of one pixel whose header claims to have others."""
    png = _bytes(Image.new("1", (1, 1)))
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def _halves(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    picture = Image.new("RGB", size, (200, 30, 30))
    picture.paste((30, 30, 200), (size[0] // 2, 0, size[0], size[1]))
    return picture.convert(mode)


KINDS = ["RGB JPEG", "CMYK JPEG", "L JPEG", "P PNG", "RGBA PNG", "LA PNG", "RGB WEBP", "P GIF", "RGB BMP"]
TEXTS = ["", "red mug", "빨간 머그컵", "مرحبا", "👟" * 500, "a\0b", "\ud800 alone", "x " * 9000]


@pytest.mark.parametrize(("mode", "kind"), [name.split() for name in KINDS])
def test_every_mode_and_format_becomes_square_rgb(preprocessor: Preprocessor, mode: str, kind: str) -> None:
    pixels = preprocessor.image(_bytes(_halves(mode), kind))
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]
    if mode not in ("L", "LA"):
        assert pixels[0, 16, 4] > 150 > 90 > pixels[2, 16, 4]
        assert pixels[2, 16, 28] > 150 > 90 > pixels[0, 16, 28]


def test_sixteen_bit_pictures_keep_their_tones(preprocessor: Preprocessor) -> None:
    picture = Image.fromarray(np.full((40, 40), 32768, dtype=np.uint16))
    assert abs(int(preprocessor.image(_bytes(picture)).mean()) - 128) <= 1


def test_transparency_becomes_white(preprocessor: Preprocessor) -> None:
    assert preprocessor.image(_bytes(Image.new("RGBA", (40, 40), (0, 0, 0, 0)))).min() == 255


def test_the_camera_orientation_is_applied(preprocessor: Preprocessor) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: left becomes top
    pixels = preprocessor.image(_bytes(_halves(size=(64, 64)), "JPEG", exif=exif.tobytes()))
    assert pixels[0, 4, 16] > 150
    assert pixels[2, 28, 16] > 150


def test_the_centre_is_cut_out_and_nothing_is_squeezed(preprocessor: Preprocessor) -> None:
    picture = Image.new("RGB", (192, 64), (0, 255, 0))
    picture.paste((255, 0, 0), (64, 0, 128, 64))
    pixels = preprocessor.image(_bytes(picture))
    assert pixels[0, :, 2:30].min() > 200


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(preprocessor: Preprocessor) -> None:
    picture = Image.linear_gradient("L").resize((1024, 1024)).convert("RGB")
    small = open_image(_bytes(picture, "JPEG", quality=95), 32)
    assert small.size == (128, 128)
    by_jpeg = preprocessor.image(_bytes(picture, "JPEG", quality=95)).astype(int)
    assert np.abs(by_jpeg - preprocessor.image(_bytes(picture)).astype(int)).max() <= 6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"no picture", "none of"),
        (b"\xff\xd8\xff\xe0", "none of|damaged"),
        (_bytes(_halves(), "JPEG")[:700], "damaged|none of"),
        (_bytes(_halves(), "PNG")[:120], "damaged|none of"),
        (_bytes(_halves(), "TIFF"), "none of"),
        (_claiming(30_000, 30_000), "pixels|none of"),
    ],
)
def test_bad_bytes_get_an_error_of_our_own(preprocessor: Preprocessor, data: bytes, message: str) -> None:
    with pytest.raises(PreprocessingError, match=message) as caught:
        preprocessor.image(data)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "red mug", "빨간 머그컵", "مرحبا", "👟" * 500, "a\0b", "\ud800 alone", "x " * 9000]
)
def test_every_text_fits_the_tower(preprocessor: Preprocessor, text: str) -> None:
    ids, mask = preprocessor.title(text)
    assert ids.shape == mask.shape == (12,)
    assert ids.dtype == mask.dtype == np.int64
    assert 2 <= mask.sum() <= 12
    assert (ids[mask == 0] == 0).all()
    assert ids[0] == 101
    assert ids[mask.sum() - 1] == 102


def test_texts_alone_and_together_are_equal(preprocessor: Preprocessor) -> None:
    titles = ["red mug", "a blue and rather long title with many words in it", ""]
    ids, mask = preprocessor.tokens(titles)
    for row, title in enumerate(titles):
        alone = preprocessor.title(title)
        assert np.array_equal(alone[0], ids[row])
        assert np.array_equal(alone[1], mask[row])


def test_the_folder_stands_alone() -> None:
    """It runs from a bundle, where nothing else of the package is."""
    imported = set()
    for path in Path(str(product_input.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
    own = {name for name in imported if name.startswith("ecclip.product_input.")}
    others = {name.split(".")[0] for name in imported - own} - set(sys.stdlib_module_names)
    assert others == {"numpy", "PIL", "tokenizers", "ftfy"}
