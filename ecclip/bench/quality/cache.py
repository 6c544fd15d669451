"""Arrays that an interrupted benchmark need not compute again."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.atomic import write_atomic


def kept(file: Path, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the named arrays of an ``.npz`` file, after making and writing them if it is not there."""
    if not file.is_file():
        buffer = io.BytesIO()
        arrays: dict[str, Any] = dict(make())
        np.savez(buffer, **arrays)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, buffer.getvalue())
    with np.load(file) as found:
        return {name: found[name] for name in found.files}
