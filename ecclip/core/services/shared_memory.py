"""Shared memory of a service whose library names its regions by a given prefix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path("/dev/shm")


def find_shared_memory(prefix: str | None) -> Iterator[Path]:
    """Yield the regions whose names start with a prefix; none for None."""
    if prefix is not None:
        yield from _FOLDER.glob(f"{prefix}*")


def close_shared_memory(prefix: str) -> None:
    """Make the shared memory of a service private: Triton's library creates it as 0644, whatever the umask.

    It is created when a model is loaded, so this is called before the model gets public traffic.
    """
    for region in find_shared_memory(prefix):
        with contextlib.suppress(FileNotFoundError):
            region.chmod(0o600)


def remove_shared_memory(prefix: str | None) -> None:
    """Remove the shared memory of a service that has ended."""
    for region in find_shared_memory(prefix):
        region.unlink(missing_ok=True)
