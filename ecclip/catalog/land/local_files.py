"""Read photos that lie in a dump: regular files below its folder, whatever their paths and links say."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ecclip.catalog.land.fetched import Fetched, PreviousPhoto
from ecclip.catalog.land.uris import looks_like_host

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def read_inside(root: Path, address: str, known: PreviousPhoto | None, most_bytes: int) -> Fetched:
    """Return the photo at a path below ``root`` (resolved), or why there is none.

    Its content shows whether it has changed, since a shop may rewrite every file. Only regular files are opened:
    reading a pipe would wait forever, and opening a device may have side effects.
    """
    try:
        path = Path(os.path.realpath(root / address))
        if not path.is_relative_to(root):  # no "..", no link that leads out, no sibling folder with the same prefix
            return Fetched.refused(address, "outside_dump")
        if not stat.S_ISREG(path.lstat().st_mode):
            return Fetched.refused(address, "not_a_file")
        with os.fdopen(os.open(path, _FLAGS), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was replaced in the meantime
                return Fetched.refused(address, "not_a_file")
            image = file.read(most_bytes + 1)
    except (OSError, ValueError):
        return Fetched.refused(address, "no_scheme" if looks_like_host(address) else "missing")
    if len(image) > most_bytes:
        return Fetched.refused(address, "too_large")
    return Fetched.read(address, image, None, known)
