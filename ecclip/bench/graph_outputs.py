"""What the towers' second output costs: each graph of a bundle, and the same graph with the embedding alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecclip.bench.measure import taking_turns
from ecclip.errors import ResultError
from ecclip.formats.bundle import Bundle

if TYPE_CHECKING:
    import onnxruntime

_TOWERS = ("image_tower", "text_tower")
WITH, ALONE = "embedding and features", "embedding alone"
_REPETITIONS = 15  # by judgment: a call takes milliseconds


def time_outputs(bundle: Path) -> dict[str, dict[str, list[float]]]:
    """Return seconds by tower and by what its graph gives out, called in turns with the known inputs of the bundle.

    Raises:
        ResultError: the graph with the embedding alone gives another embedding, so that the times compare nothing.
    """
    return {name: _time(Bundle(bundle), name) for name in _TOWERS}


def _time(bundle: Bundle, name: str) -> dict[str, list[float]]:
    graph = bundle.graph(name).read_bytes()
    known = np.load(bundle.known_answer(name))
    calls = {WITH: _call(graph, known), ALONE: _call(_first_output_alone(graph), known)}
    both, alone = (call() for call in calls.values())
    if len(both) < 2 or len(alone) != 1 or not np.allclose(both[0], alone[0], atol=1e-6):
        raise ResultError(
            "the graph with the embedding alone is not the bundle's graph without its features",
            value=bundle.graph(name),
            next_step="export the bundle again with this version of torch and onnx",
        )
    return taking_turns(calls, _REPETITIONS)


def _first_output_alone(graph: bytes) -> bytes:
    """Return an ONNX graph without its outputs after the first, and without what only they need."""
    import onnx
    from onnx.utils import Extractor

    model = onnx.load_from_string(graph)
    inputs = [one.name for one in model.graph.input]
    kept: bytes = Extractor(model).extract_model(inputs, [model.graph.output[0].name]).SerializeToString()
    return kept


def _call(graph: bytes, known: np.lib.npyio.NpzFile) -> Callable[[], list[np.ndarray]]:
    session = _session(graph)
    feed = {one.name: known[one.name] for one in session.get_inputs()}
    return functools.partial(session.run, None, feed)


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()  # as the server has it, on one thread
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
