"""Photos that are good in unusual ways and photos that are none, each with the reason that it gets."""

from __future__ import annotations

import io
import struct
import zlib

from dumps import picture
from PIL import Image


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
    "bomb.png": (bomb(14_000), "too_large"),
    "not_there.jpg": (None, "missing"),
}
