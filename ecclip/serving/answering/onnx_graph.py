"""One ONNX graph on this machine's processors, for the server's models and for answers without a server.

Needs numpy and onnxruntime alone; the file travels in the bundle, and beside the server's models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

# By measurement (default text tower, titles of the sample, one core): two to eight texts of like length at once cost
# the least; in one batch of 32 they carry the padding of the longest and take 1.7 times as long.
TEXTS_AT_ONCE = 4
KNOWN_TOLERANCE = 1e-3  # other processors round otherwise; wrong weights are wrong by far more


class Graph:
    """A graph that is loaded; ``threads`` compute it."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # threads that spin while they wait take the processor from the other graphs and from those that read listings
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        shapes = {one.name: one.shape for one in self._session.get_inputs()}
        self.inputs = [*shapes]
        self.outputs = [one.name for one in self._session.get_outputs()]
        # a graph that was exported with a fixed number of tokens has a number there
        self._trims = "mask" in shapes and isinstance(shapes["mask"][1], str)

    def run(self, feed: Mapping[str, np.ndarray], outputs: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Return outputs [N, ...] by name, all unless some are named, for inputs [N, ...] by name."""
        names = list(outputs) or self.outputs
        if not self._trims:
            return self._run(feed, names)
        lengths = _lengths(feed["mask"])
        order = lengths.argsort(kind="stable")
        found = []
        for first in range(0, len(order), TEXTS_AT_ONCE):
            rows = order[first : first + TEXTS_AT_ONCE]
            longest = lengths[rows[-1]]
            found.append(self._run({name: tokens[rows, :longest] for name, tokens in feed.items()}, names))
        back = order.argsort()
        return {name: np.concatenate([one[name] for one in found])[back] for name in names}

    def difference(self, known: Mapping[str, np.ndarray]) -> float:
        """Return the largest difference of the answers to ``known`` inputs, by name, from the outputs beside them."""
        answer = self.run({name: known[name] for name in self.inputs})
        return float(np.max([np.abs(answer[name] - known[name]).max() for name in answer]))

    def _run(self, feed: Mapping[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
        return dict(zip(names, self._session.run(names, dict(feed)), strict=True))


def _lengths(mask: np.ndarray) -> np.ndarray:
    """Return the tokens of every text up to its last one that counts, [N], for a mask [N, T]; at least 1."""
    position = np.arange(1, mask.shape[1] + 1)
    return np.asarray(((mask != 0) * position).max(axis=1).clip(min=1))
