"""``live.json`` of a model repository: which version answers. Deployments write it, whoever wants to know reads it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ecclip.atomic import canonical_json, write_atomic
from ecclip.errors import IntegrityError

STATE = ".state"  # beside the models, of the repository itself: a server never looks there
_FILE = "live.json"


class Live(BaseModel):
    """Which version answers, which one answered before, and how often that changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: int
    previous: int | None = None
    lineage: str
    sequence: int = 1


def read_live(repository: Path) -> Live | None:
    """Return what answers by the last commit to a model repository, or None before the first.

    Raises:
        IntegrityError: the file cannot be read; names the copy that mends it.
    """
    path = repository / _FILE
    try:
        return Live.model_validate_json(path.read_bytes()) if path.is_file() else None
    except ValueError as error:
        kept = repository / STATE / _FILE
        raise IntegrityError("live.json cannot be read", value=path, next_step=f"cp {kept} {path}") from error


def write_live(repository: Path, live: Live) -> None:
    """Commit what answers; the first rename is the moment that counts, the copy mends a damaged file."""
    for folder in (repository, repository / STATE):
        write_atomic(folder / _FILE, canonical_json(live.model_dump()))
