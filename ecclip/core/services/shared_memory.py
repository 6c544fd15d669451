"""Shared memory of a service whose library names its regions by a given prefix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path("/dev/shm")


def find_shared_memory(prefix: str | None) -> Iterator[Path]:
    """Yield the regions whose names start with a prefix; None is the prefix of no region."""
    if prefix is not None:
        yield from _FOLDER.glob(f"{prefix}*")


def close_shared_memory(prefix: str) -> None:
    """Take the shared memory of a service from other users: Triton's library makes it 0644, whatever the umask says.

    It is made when a model is loaded, so this comes before the first question of the public.
    """
    for region in find_shared_memory(prefix):
        with contextlib.suppress(FileNotFoundError):
            region.chmod(0o600)


def remove_shared_memory(prefix: str | None) -> None:
    """Remove the shared memory of a service that has ended."""
    for region in find_shared_memory(prefix):
        region.unlink(missing_ok=True)
