"""Towers and heads as ONNX graphs: exported, stripped of what depends on this machine, compared with torch."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecclip.core import ContractError, write_atomic

if TYPE_CHECKING:
    import torch

OPSET = 18  # ONNX 1.13 of 2022; by judgment: every runtime here reads it
_OUTPUT = "ecclip_output_"
# Inputs and outputs. The heads' inputs hold the features after the embedding if a task reads them; their names do
# not change, as one configuration serves the previous version as well.
GRAPHS = {
    "image_tower": (("pixels",), ("embedding", "features")),
    "text_tower": (("ids", "mask"), ("embedding", "features")),
    "heads": (("image_embedding", "text_embedding", "modality"), ("logits",)),
}


def export_graph(name: str, module: torch.nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> None:
    """Write ``module`` as ONNX with a dynamic batch; equal modules give equal bytes.

    The text tower's number of tokens is dynamic, too: who runs the graph may leave out padding that no text of a batch
    needs. ``example`` [B, ...] has a batch of at least 2 (a batch of 1 would be taken for a constant).
    """
    import onnx
    import torch

    inputs, outputs = GRAPHS[name]
    unnamed = [f"{_OUTPUT}{number}" for number in range(len(outputs))]
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    open_sizes = {0: batch, 1: tokens} if name == "text_tower" else {0: batch}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=unnamed,
            dynamic_shapes=tuple(open_sizes for _ in example),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ContractError(
            "torch wrote no ONNX program", value=name, next_step="export again with another version of torch"
        )
    model = program.model_proto
    _strip(model)
    for place, output in zip(unnamed, outputs, strict=True):
        _name_output(model.graph, place, output)
    onnx.checker.check_model(model)
    write_atomic(path, model.SerializeToString(deterministic=True))


def run_graph(path: Path, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs [B, ...] of a graph by name, computed by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return dict(zip((one.name for one in session.get_outputs()), session.run(None, feed), strict=True))


def check_graph(
    name: str, path: Path, feed: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float
) -> float:
    """Return the largest difference to ``expected`` as the next power of ten above it.

    Raises:
        ContractError: it is above ``tolerance``, or not a number.
    """
    found = run_graph(path, feed)
    # numpy's maximum: Python's ignores NaN
    difference = float(np.max([np.abs(found[output] - values).max() for output, values in expected.items()]))
    if not difference <= tolerance:
        raise ContractError(
            "an ONNX graph differs from torch",
            value=f"{name}: {difference}",
            limit=tolerance,
            next_step="export again with another version of torch or onnxruntime; the bundle is not made",
        )
    # a bound instead of the value: its last bits may differ between runs and would change the bundle's digest
    return power_of_ten_above(difference)


def power_of_ten_above(difference: float) -> float:
    """Return the next power of ten, 1e-9 at least: what rounding leaves of a difference on any machine."""
    return float(10.0 ** math.ceil(math.log10(max(difference, 1e-9))))


def _name_output(graph: Any, place: str, output: str) -> None:
    """Name an output of the graph; the exporter would give an inner value that name, too."""
    names = {output: f"{output}_inner", place: output}
    for node in graph.node:
        for values in (node.input, node.output):
            for index, value in enumerate(values):
                values[index] = names.get(value, value)
    for value in (*graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)


def _strip(model: Any) -> None:
    """Remove what depends on this machine: stack traces, doc strings, metadata."""
    model.doc_string = ""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        _strip_graph(graph)


def _strip_graph(graph: Any) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    values = [
        getattr(graph, field)
        for field in ("node", "input", "output", "value_info", "initializer")
        if hasattr(graph, field)
    ]
    for value in (one for group in values for one in group):
        if isinstance(value, str):
            continue
        value.doc_string = ""
        del value.metadata_props[:]
        for attribute in getattr(value, "attribute", ()):
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                _strip_graph(inner)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's progress messages and deprecation warnings."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
