"""Towers in half precision: held against float32 on the golden listings, written, and checked in their structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ecclip.client import Answer, Product
from ecclip.core import ContractError, StageConfig
from ecclip.formats.bundle import Bundle, HalfPrecision
from ecclip.serving.comparison import Comparison, Tolerance, compare
from ecclip.serving.export.inprocess import InProcess
from ecclip.serving.export.onnx_graphs import GRAPHS, export_graph, power_of_ten_above, run_graph

if TYPE_CHECKING:
    import torch

    from ecclip.serving.golden import Golden


class HalfTolerance(StageConfig):
    """How far answers in half precision may lie from those in float32, on the golden listings."""

    cosine: float = Field(ge=-1, le=1, description="least cosine of an embedding to that of float32; by judgment")
    score: float = Field(gt=0, description="largest difference of a probability; by judgment")
    decisions: float = Field(
        ge=0, le=1, description="largest share of listings with another label or decision, by judgment"
    )


def export_half(
    precision: HalfPrecision,
    twin: InProcess,
    feeds: Mapping[str, Sequence[torch.Tensor]],
    known: Sequence[Golden],
    bundle: Bundle,
    limits: HalfTolerance,
) -> dict[str, Any]:
    """Write both towers' graphs in a precision into a bundle; return what the bundle says of it.

    The very module that is exported answers the golden listings in torch on the CPU, which rounds and overflows as the
    types say. onnxruntime on a CPU does not (it computes float16 in float32, and refuses bfloat16): it shows that a
    float16 graph loads and what shapes it gives.

    Raises:
        ContractError: an answer lies further from float32 than ``limits`` allow, or a graph is not what it should be.
    """
    from ecclip.serving.export.graph_modules import tower_graphs

    modules = tower_graphs(twin.towers, precision)
    half = twin.with_towers(*modules)
    found = compare(known, [_answer(half, one.product) for one in known], Tolerance(**limits.model_dump()))
    if found.reasons:
        raise ContractError(
            f"the towers answer otherwise in {precision} than in float32",
            value="; ".join(found.reasons[:3]),
            limit=f"export.{precision}: {limits.model_dump()}",
            next_step=f"take {precision} out of export.precisions, or widen export.{precision}",
        )
    for name, module in zip(feeds, modules, strict=True):
        export_graph(name, module, tuple(feeds[name]), bundle.graph(name, precision))
        _check_structure(name, precision, feeds[name], bundle)
    return {"tolerance": limits.model_dump(), "found": _figures(found)}


def _answer(half: InProcess, product: Product) -> Answer:
    from ecclip.tasks.decision import DecisionError

    try:
        return half.ask(product)
    except DecisionError as error:  # what overflowed is no number, and nothing can be decided from it
        return Answer(error=str(error))


def _figures(found: Comparison) -> dict[str, float]:
    """Return the worst figures as bounds: last digits may differ between runs and would change the bundle's digest."""
    return {
        "cosine_distance": power_of_ten_above(1.0 - found.cosine),
        "score": power_of_ten_above(found.score),
        "decisions": found.decisions,
    }


def _check_structure(name: str, precision: str, feed: Sequence[torch.Tensor], bundle: Bundle) -> None:
    """Raise ContractError where types do not fit each other, the weights are no halves, or the outputs no float32."""
    import onnx

    path = bundle.graph(name, precision)
    model = onnx.load(path)
    # infers the type of every value; ONNX has convolutions of bfloat16 from opset 22 on, TensorRT takes them in any
    onnx.checker.check_model(model, full_check=precision == "float16")
    types = onnx.TensorProto.DataType
    weights = Counter[str]()
    for one in model.graph.initializer:
        weights[types.Name(one.data_type)] += len(one.raw_data)
    outputs = {types.Name(one.type.tensor_type.elem_type) for one in model.graph.output}
    if not weights[precision.upper()] > sum(weights.values()) / 2 or outputs != {"FLOAT"}:
        raise _wrong_graph(name, precision, f"bytes of weights {dict(weights)}, outputs {outputs}")
    if precision != "float16":
        return
    for rows in (1, len(feed[0])):
        arrays = {one: part[:rows].numpy() for one, part in zip(GRAPHS[name][0], feed, strict=True)}
        shapes = {output: values.shape[0] for output, values in run_graph(path, arrays).items()}
        if shapes != dict.fromkeys(GRAPHS[name][1], rows):
            raise _wrong_graph(name, precision, f"rows {shapes} for {rows}")


def _wrong_graph(name: str, precision: str, found: str) -> ContractError:
    return ContractError(
        f"a graph in {precision} is not what was exported",
        value=f"{name}: {found}",
        next_step="export again with another version of torch; the bundle is not made",
    )
