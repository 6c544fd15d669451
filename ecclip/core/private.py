"""What ecclip writes belongs to its user alone, from the first byte on."""

from __future__ import annotations

import os

from ecclip.core.configuration import settings

PRIVATE_UMASK = 0o077


def keep_private() -> None:
    """Let this process and its children make files that no other user reads, and close a work folder that is open."""
    os.umask(PRIVATE_UMASK)
    work = settings().work
    if work.is_dir() and work.stat().st_mode & PRIVATE_UMASK and work.stat().st_uid == os.geteuid():
        work.chmod(0o700)
