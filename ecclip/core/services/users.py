"""Who uses the services of this workspace: one locked file per process, so that the last one who leaves is known.

What ``up`` started, or found, is kept until ``down``; anything else stops with its last user.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecclip.atomic import canonical_json, write_atomic
from ecclip.core.configuration import settings
from ecclip.core.locks import holder_of, locked


@contextmanager
def registered() -> Iterator[None]:
    """Be one of the users until the end of the block, or of this process, however it ends.

    Begun under the lock of the services: what killed users left is removed.
    """
    for path in _files():
        if not holder_of(path):
            path.unlink(missing_ok=True)
    path = _folder() / f"{os.getpid()}.lock"
    with locked(path, "the use of the services by this process"):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def users() -> list[str]:
    """Return the processes that use the services, in words."""
    return [who for path in _files() if (who := holder_of(path))]


def keep(services: Iterable[str]) -> None:
    """Have services run until ``down``, whoever leaves."""
    write_atomic(_kept_path(), canonical_json(sorted({*kept(), *services})))


def release(services: Iterable[str]) -> None:
    """Have services run for their users only."""
    if left := kept() - {*services}:
        write_atomic(_kept_path(), canonical_json(sorted(left)))
    else:
        _kept_path().unlink(missing_ok=True)


def kept() -> set[str]:
    """Return the services that run until ``down``."""
    try:
        return set(json.loads(_kept_path().read_text()))
    except (OSError, ValueError, TypeError):
        return set()


def _files() -> list[Path]:
    return sorted(_folder().glob("*.lock"))


def _folder() -> Path:
    return settings().work / "run" / "users"


def _kept_path() -> Path:
    return settings().work / "run" / "kept.json"
