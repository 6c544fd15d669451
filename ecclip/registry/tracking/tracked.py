"""The tracked trainings of a night: their folders beside the training's output, and the key of the one that made it."""

from __future__ import annotations

import json
from pathlib import Path

from ecclip.core import IntegrityError
from ecclip.registry.tracking.delivery import deliver

_SUFFIX = ".tracking"


def deliver_all(trained: Path) -> list[str]:
    """Send what the spools beside a training's output still hold and return the run ids.

    Raises:
        ServiceError: MLflow does not answer, or another process is sending for too long.
    """
    folder = trained.with_name(trained.name + _SUFFIX)
    return [deliver(path.parent) for path in sorted(folder.glob("*/run.json"))]


def training_key(trained: Path) -> str | None:
    """Return the key that training wrote into its output, or None where there is none.

    Raises:
        IntegrityError: the history of the training cannot be read.
    """
    path = trained / "history.json"
    if not path.is_file():
        return None
    try:
        key = json.loads(path.read_text(encoding="utf-8")).get("run_key")
    except ValueError as error:
        raise IntegrityError(
            "the history of a training cannot be read",
            value=path,
            next_step="train the night again: remove this folder and run train",
        ) from error
    return None if key is None else str(key)
