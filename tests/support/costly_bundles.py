"""Bundles with the answers of a small one whose image tower costs more: time, memory or bytes, for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from serving_bundles import sealed, tiny_bundle

_SIDE, _PRODUCTS = 500, 8  # of matrices that are multiplied one after the other for each call
_HELD = 100_000_000  # floats: 400 MB, which the process keeps
_BYTES = 64 << 20


def costly_bundle(folder: Path, kind: str) -> Path:
    """Write the bundle of seed 0 with an image tower that is ``slow``, ``hungry`` or ``large``, and return it."""
    shutil.copytree(tiny_bundle(0), folder)
    path = folder / "onnx" / "image_tower.onnx"
    model = onnx.load(path)
    _add_nothing(model.graph, {"slow": _slow, "hungry": _hungry, "large": _large}[kind](model.graph))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return sealed(folder)


def _add_nothing(graph: onnx.GraphProto, number: str) -> None:
    """Add zero times a number to the embedding: the answer is the same, and the number must be computed."""
    producer = next(node for node in graph.node if "embedding" in node.output)
    producer.output[list(producer.output).index("embedding")] = "cost_plain"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == "embedding":
                node.input[place] = "cost_plain"
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "cost_zero"))
    graph.node.extend(
        [
            helper.make_node("Mul", [number, "cost_zero"], ["cost_nothing"]),
            helper.make_node("Add", ["cost_plain", "cost_nothing"], ["embedding"]),
        ]
    )


def _mean_of_answer(graph: onnx.GraphProto) -> str:
    graph.node.append(helper.make_node("ReduceMean", ["cost_plain"], ["cost_mean"], keepdims=0))
    return "cost_mean"


def _spread(graph: onnx.GraphProto, shape: list[int]) -> str:
    """Spread the mean of the answer over a tensor, which no optimiser knows before the question."""
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), "cost_shape"))
    graph.node.append(helper.make_node("Expand", [_mean_of_answer(graph), "cost_shape"], ["cost_spread"]))
    return "cost_spread"


def _slow(graph: onnx.GraphProto) -> str:
    product = _spread(graph, [_SIDE, _SIDE])
    for number in range(_PRODUCTS):
        graph.node.append(helper.make_node("MatMul", [product, "cost_spread"], [f"cost_product_{number}"]))
        graph.node.append(helper.make_node("Tanh", [f"cost_product_{number}"], [f"cost_bounded_{number}"]))
        product = f"cost_bounded_{number}"
    graph.node.append(helper.make_node("ReduceMean", [product], ["cost_number"], keepdims=0))
    return "cost_number"


def _hungry(graph: onnx.GraphProto) -> str:
    graph.node.append(helper.make_node("ReduceMean", [_spread(graph, [_HELD])], ["cost_number"], keepdims=0))
    return "cost_number"


def _large(graph: onnx.GraphProto) -> str:
    ballast = np.random.default_rng(0).standard_normal(_BYTES // 4, np.float32)
    graph.initializer.append(numpy_helper.from_array(ballast, "cost_ballast"))
    graph.node.append(helper.make_node("ReduceMean", ["cost_ballast"], ["cost_number"], keepdims=0))
    return "cost_number"
