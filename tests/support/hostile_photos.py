"""A Pillow decoder that crashes, hangs or swallows memory, for photos that say so: what a bug in a real one does."""

from __future__ import annotations

import ctypes
import faulthandler
import time

from PIL import Image, ImageFile

MAGIC = b"HOSTILE "


def hostile(what: str) -> bytes:
    """Return a photo whose decoder will ``crash``, ``abort``, ``loop``, ``wait`` or ``grow``."""
    return MAGIC + what.encode()


def register() -> None:
    """Make Pillow of this process and of its children decode hostile photos."""
    Image.register_open("HOSTILE", _HostileFile, lambda prefix: prefix.startswith(MAGIC))


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
