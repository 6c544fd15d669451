"""Builds TensorRT engines from ONNX graphs. A script for the interpreter that has TensorRT's bindings.

It needs those and the standard library: nothing else of ecclip is where engines are built.

    python builder.py describe BUILDER [CAPABILITY]    the device that engines are built for, as JSON
    python builder.py build REQUEST                    the engines of a request (a JSON file), as JSON

BUILDER is ``tensorrt``, on the GPU that serves, or ``rtx``, TensorRT-RTX, which builds for a compute capability without
a GPU. An error is JSON too ({"error": ...}), with exit status 1; what the library logs goes to stderr.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import sys
from pathlib import Path
from typing import Any

_BINDINGS = {
    "tensorrt": ("tensorrt", "tensorrt_bindings"),
    "rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the CUDA driver API
_NAME_BYTES = 256  # of the name of a GPU; by judgment, the longest have some forty


class BuildError(Exception):
    """An engine cannot be built; the text says why."""


def bindings(builder: str) -> Any:
    """Return TensorRT's Python module: the whole package or its bindings alone."""
    reasons = []
    for name in _BINDINGS[builder]:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reasons.append(str(error))
    raise BuildError(f"{sys.executable} has no {builder}: {'; '.join(reasons)}")


def describe(builder: str, capability: str = "") -> dict[str, str]:
    """Return builder, its version, and name and compute capability of the GPU (of no GPU: the empty name)."""
    version = str(bindings(builder).__version__)
    gpu, found = ("", capability) if builder == "rtx" else _gpu()
    return {"builder": builder, "tensorrt": version, "gpu": gpu, "compute_capability": found}


def build(request: dict[str, Any]) -> dict[str, Any]:
    """Build every engine of a request; return the types of their inputs and outputs by graph.

    The request has ``builder``, ``compute_capability``, ``optimization_level``, ``workspace_bytes``, ``timing_cache``
    (a path) and ``graphs``: by name ``onnx`` and ``plan`` (paths) and ``profile`` (by input its smallest, usual and
    largest shape).
    """
    trt = bindings(request["builder"])
    return {"types": {name: _build_one(trt, name, graph, request) for name, graph in request["graphs"].items()}}


def _build_one(trt: Any, name: str, graph: dict[str, Any], request: dict[str, Any]) -> dict[str, dict[str, str]]:
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # precision is what the types of the graph say: the only way of this release
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(graph["onnx"]):
        reasons = [str(parser.get_error(place)) for place in range(parser.num_errors)]
        raise BuildError(f"{name} cannot be parsed: {'; '.join(reasons)}")
    config = _config(trt, builder, request)
    cache = Path(request["timing_cache"])
    measures = request["builder"] == "tensorrt"  # without a GPU there is nothing to measure
    if measures:
        _take_timings(config, cache)
    config.add_optimization_profile(_profile(builder, network, name, graph["profile"]))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BuildError(f"{name} cannot be built; the lines above are the builder's")
    Path(graph["plan"]).write_bytes(plan)
    if measures:
        _keep_timings(config, cache)
    return {"inputs": _types(network, "input"), "outputs": _types(network, "output")}


def _config(trt: Any, builder: Any, request: dict[str, Any]) -> Any:
    config = builder.create_builder_config()
    config.builder_optimization_level = request["optimization_level"]
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request["workspace_bytes"])
    config.clear_flag(trt.BuilderFlag.TF32)  # float32 means float32
    if request["builder"] == "rtx":
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(trt, request["compute_capability"]), 0)
    return config


def _capability(trt: Any, text: str) -> Any:
    found = trt.ComputeCapability.__members__.get(f"SM{text.replace('.', '')}")
    if found is None:
        known = [name for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
        raise BuildError(f"no engine can be built for compute capability {text!r}, but for {', '.join(known)}")
    return found


def _take_timings(config: Any, cache: Path) -> None:
    """Let a build take over what was measured before; what another device measured is left out by the library."""
    timings = cache.read_bytes() if cache.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(timings), False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _keep_timings(config: Any, cache: Path) -> None:
    temporary = cache.with_name(f".{cache.name}.new")
    temporary.write_bytes(config.get_timing_cache().serialize())
    temporary.replace(cache)


def _profile(builder: Any, network: Any, name: str, wanted: dict[str, Any]) -> Any:
    profile = builder.create_optimization_profile()
    inputs = [network.get_input(place).name for place in range(network.num_inputs)]
    if set(inputs) != set(wanted):
        raise BuildError(f"{name} has the inputs {inputs}, the profile has {sorted(wanted)}")
    for one in inputs:
        profile.set_shape(one, *(tuple(shape) for shape in wanted[one]))
    return profile


def _types(network: Any, end: str) -> dict[str, str]:
    count, get = getattr(network, f"num_{end}s"), getattr(network, f"get_{end}")
    return {get(place).name: get(place).dtype.name for place in range(count)}


def _gpu() -> tuple[str, str]:
    """Return name and compute capability of the first GPU, asked of the driver."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise BuildError(f"this machine has no NVIDIA driver: {error}") from error
    device, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    calls = [
        cuda.cuInit(0),
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDeviceGetName(name, _NAME_BYTES, device),
    ]
    numbers = [ctypes.c_int(), ctypes.c_int()]
    for number, attribute in zip(numbers, (_MAJOR, _MINOR)):  # noqa: B905 - of equal length, on any Python
        calls.append(cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device))
    if any(calls):
        raise BuildError(f"the NVIDIA driver gives no GPU (CUDA errors {calls})")
    return name.value.decode(), ".".join(str(number.value) for number in numbers)


def main(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    try:
        if arguments[0] == "describe":
            found: dict[str, Any] = dict(describe(*arguments[1:]))
        else:
            found = build(json.loads(Path(arguments[1]).read_text()))
    except BuildError as error:
        found = {"error": str(error)}
    sys.stdout.write(json.dumps(found) + "\n")
    return int("error" in found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
