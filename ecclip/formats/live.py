"""``live.json`` of a model repository: which version answers. Deployments write it, whoever wants to know reads it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ecclip.atomic import canonical_json, write_atomic
from ecclip.errors import IntegrityError

STATE = ".state"  # beside the models, of the repository itself: a server never looks there
_FILE = "live.json"


class Live(BaseModel):
    """Which version answers, which one answered before, and how often that changed.

    A version is a number of this model repository; ``bundle`` is the digest of what answers, which names it everywhere
    else (empty where an older ecclip wrote the file, with the ``lineage`` id alone).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: int
    previous: int | None = None
    lineage: str
    bundle: str = ""
    sequence: int = 1


def read_live(repository: Path) -> Live | None:
    """Return what answers by the last commit to a model repository, or None before the first.

    Raises:
        IntegrityError: the file cannot be read, is gone or older than the last commit; names the copy that mends it.
    """
    path, kept = repository / _FILE, repository / STATE / _FILE
    mend = f"cp {kept} {path}"
    try:
        live = Live.model_validate_json(path.read_bytes()) if path.is_file() else None
    except ValueError as error:
        raise IntegrityError("live.json cannot be read", value=path, next_step=mend) from error
    last = _last_commit(kept)
    if last is None or (live is not None and live.sequence >= last.sequence):
        return live
    raise IntegrityError(
        "live.json is gone" if live is None else "live.json is older than the last deployment, as one from a backup is",
        value=path if live is None else f"{path}: version {live.version}, change {live.sequence}",
        limit=f"version {last.version}, change {last.sequence}",
        next_step=f"{mend}; if another version is to answer, ecclip release rollback then lets it",
    )


def _last_commit(kept: Path) -> Live | None:
    """Return the copy of the last commit, or None where there is none that can be read."""
    try:
        return Live.model_validate_json(kept.read_bytes())
    except (OSError, ValueError):
        return None


def write_live(repository: Path, live: Live) -> None:
    """Commit what answers; the first rename is the moment that counts, the copy mends a damaged file."""
    for folder in (repository, repository / STATE):
        write_atomic(folder / _FILE, canonical_json(live.model_dump()))
