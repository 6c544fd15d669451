"""Files that ecclip writes are private to its user from the first byte on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ecclip.core.configuration import settings

PRIVATE_UMASK = 0o077  # the owner alone reads and writes


def keep_private() -> None:
    """Make files of this process and its children private, and close an open work folder."""
    os.umask(PRIVATE_UMASK)
    work = settings().work
    if work.is_dir() and work.stat().st_mode & PRIVATE_UMASK and work.stat().st_uid == os.geteuid():
        work.chmod(0o700)


def private_file(path: Path) -> BinaryIO:
    """Open a file for writing, empty, that its owner alone can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
