"""MLflow's pyfunc flavour of a bundle: a frame of listings in, a frame of answers out, without a workspace or a server.

MLflow finds the bundle's code by the flavour's ``code`` and calls :func:`_load_pyfunc`; the file travels in the bundle.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecclip.formats.bundle import Bundle
from ecclip.formats.service import INPUTS, MAX_BATCH, OUTPUTS, unpadded
from ecclip.serving.answering.answerer import Answerer

if TYPE_CHECKING:
    import pandas


class BundleModel:
    """A bundle as MLflow's ``predict`` calls it."""

    def __init__(self, bundle: Path) -> None:
        self._answerer = Answerer(bundle, len(os.sched_getaffinity(0)))

    def predict(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """Return the service's outputs [N rows], without padding, for a frame of its inputs; a missing one is empty.

        Columns and meaning: ``ecclip.formats.service``.
        """
        import pandas  # late: the process that answers a catalog has no use for it

        rows = [
            [unpadded(tensor, outputs.get(tensor.name)) for tensor in OUTPUTS]
            for batch in _batches(frame)
            for outputs, _ in self._answerer.answer(batch)
        ]
        return pandas.DataFrame(rows, columns=[tensor.name for tensor in OUTPUTS], index=frame.index)


def _load_pyfunc(path: str) -> BundleModel:
    """Return the model of a bundle's folder; called by MLflow."""
    sys.path.insert(0, str(Bundle(Path(path)).libraries))
    return BundleModel(Path(path))


def _batches(frame: pandas.DataFrame) -> Iterator[list[dict[str, bytes]]]:
    columns = {one.name: list(frame[one.name]) for one in INPUTS if one.name in frame}
    for first in range(0, len(frame), MAX_BATCH):
        yield [
            {one.name: _bytes(columns[one.name][row]) if one.name in columns else b"" for one in INPUTS}
            for row in range(first, min(first + MAX_BATCH, len(frame)))
        ]


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""  # None, or pandas' NaN
