"""A Pillow decoder that crashes, hangs or swallows memory, for photos that say so: what a bug in a real one does."""

from __future__ import annotations

import ctypes
import faulthandler
import time
from typing import Any

from PIL import Image, ImageFile

MAGIC = b"HOSTILE "


def hostile(what: str) -> bytes:
    """Return a photo whose decoder will ``crash``, ``abort``, ``loop``, ``wait`` or ``grow``."""
    return MAGIC + what.encode()


def register() -> None:
    """Make Pillow of this process and of its children decode hostile photos, under the name of BMP."""
    Image.preinit()
    opener, accept = Image.OPEN["BMP"]

    def open_either(file: Any, name: Any) -> Any:
        hostile_one = file.read(len(MAGIC)) == MAGIC
        file.seek(0)
        return (_HostileFile if hostile_one else opener)(file, name)

    def accept_either(prefix: bytes) -> Any:
        return prefix.startswith(MAGIC) or (accept is not None and accept(prefix))

    Image.register_open("BMP", open_either, accept_either)


class _HostileFile(ImageFile.ImageFile):
    format = "HOSTILE"

    def _open(self) -> None:
        self._what = self.fp.read()[len(MAGIC) :].decode()
        self._size, self._mode = (64, 64), "RGB"

    def load(self) -> None:
        faulthandler.disable()
        if self._what == "crash":
            ctypes.string_at(0)
        if self._what == "abort":
            ctypes.CDLL(None).abort()
        if self._what == "wait":
            time.sleep(3600)
        held = []
        while True:
            held.append(bytearray(1 << 26) if self._what == "grow" else None)
            if self._what == "loop":
                held.clear()
