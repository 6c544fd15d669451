"""What runs the towers on a server, and the config.pbtxt of every model for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import ecclip
from ecclip.client import MAX_BATCH
from ecclip.core import ConfigError, ServingPlatform
from ecclip.formats.bundle import Precision
from ecclip.formats.service import INPUTS, OUTPUTS, triton_config
from ecclip.serving.engine.config import EngineConfig, profiles_of

TEMPLATES = Path(ecclip.__file__).parents[1] / "triton_models"
TOWERS, HEADS = ("image_tower", "text_tower"), "heads"
GRAPH_MODELS = (*TOWERS, HEADS)  # heads are a model of their own in versions that an older ecclip staged
ENTRY, CANDIDATE = "product", "candidate"
_QUEUE_DELAY_US = 200  # how long a question waits for others; by measurement: 1,000 give no more answers
_PLATFORMS = {
    "onnxruntime": ("onnxruntime_onnx", "model.onnx"),
    "onnxruntime_tensorrt": ("onnxruntime_onnx", "model.onnx"),
    "tensorrt_plan": ("tensorrt_plan", "model.plan"),
}


@dataclass(frozen=True)
class Target:
    """The server that a version is staged for.

    Attributes:
        platform: what runs the towers; the heads run in the entry model on every platform.
        gpu: the name of its GPU, as ``nvidia-smi -L`` says it.
        engine_cache: the folder, as the server sees it, where onnxruntime keeps the engines that it builds.
        engine: precision of the towers, and how engines are built.
        engines: the folder of the engines that ``build_engine`` wrote.
    """

    platform: ServingPlatform = "embedded"
    gpu: str = ""
    engine_cache: str = ""
    engine: EngineConfig = field(default_factory=EngineConfig)
    engines: Path = Path("engines")

    def __post_init__(self) -> None:
        if self.platform in ("onnxruntime_tensorrt", "tensorrt_plan") and not self.gpu:
            raise ConfigError(
                f"engines of {self.platform} belong to one kind of GPU, and nothing says which one the server has",
                value="ECCLIP_SERVING_GPU is empty",
                next_step="set it to the name that `nvidia-smi -L` prints on the server",
            )

    @property
    def precision(self) -> Precision:
        """The precision of the towers; onnxruntime on a CPU computes in float32 alone."""
        return "float32" if self.platform == "embedded" else self.engine.precision

    @property
    def served_by(self) -> tuple[ServingPlatform, Precision, str]:
        """Platform, precision and GPU: what a version is staged for."""
        return self.platform, self.precision, "" if self.platform == "embedded" else self.gpu

    def tower_name(self, tower: str, version: int) -> str:
        """Return the name of a tower's model on the server.

        The python backend has one model with all versions. A backend that builds or loads engines has one model per
        version: one configuration serves one bundle's shapes, and onnxruntime names a cached engine by the names in
        the graph, not by its weights, so that bundles must not share a cache.
        """
        return tower if self.platform == "embedded" else f"{tower}_{version}"

    def accelerator(self, shapes: Mapping[str, int], lineage: str, tower: str, version: int) -> dict[str, str]:
        """Return the parameters of onnxruntime's TensorRT accelerator for a tower; the server refuses unknown ones.

        The cache lies under a path that names the bundle, the GPU and the precision.
        """
        if self.platform != "onnxruntime_tensorrt":
            return {}
        cache = f"{self.engine_cache.rstrip('/')}/{lineage}/{slug(self.gpu)}-{self.precision}"
        profile = profiles_of(shapes, self.engine.usual_batch)[tower]
        ranges = {
            which: ",".join(f"{one}:{'x'.join(map(str, batches[place]))}" for one, batches in profile.items())
            for place, which in enumerate(("min", "opt", "max"))
        }
        return {
            "precision_mode": "FP32",  # the types are those of the graph, whose casts are its own
            "max_workspace_size_bytes": str(self.engine.workspace_mib << 20),
            "trt_builder_optimization_level": str(self.engine.optimization_level),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": cache,
            "trt_engine_cache_prefix": self.tower_name(tower, version),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": cache,
        } | {f"trt_profile_{which}_shapes": text for which, text in ranges.items()}


def slug(gpu: str) -> str:
    """Return the name of a GPU as a part of a path: nvidia-h100-80gb-hbm3."""
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")


def python_config(model: str, name: str, versions: list[int], threads: int, instances: int) -> str:
    """Return the config.pbtxt of a model of the python backend: the entry, and the embedded towers.

    ``instances`` is that of the live entry, and of each tower, which share ``threads``: two graphs of one thread answer
    more than one of two, which wait for each other. The candidate, which nobody but the examination asks, has one.
    """
    return _template(model, "embedded").substitute(
        name=name,
        versions=_list(versions),
        max_batch=MAX_BATCH,
        threads=max(1, threads // instances),
        instances=1 if name == CANDIDATE else instances,
        queue_delay_us=_QUEUE_DELAY_US,
        inputs=triton_config(INPUTS),
        outputs=triton_config(OUTPUTS),
    )


def gpu_config(
    tower: str, name: str, version: int, platform: str, shapes: Mapping[str, int], accelerator: Mapping[str, str]
) -> str:
    """Return the config.pbtxt of one version of a tower on a server with a GPU."""
    kind, filename = _PLATFORMS[platform]
    return _template(tower, "gpu").substitute(
        name=name,
        platform=kind,
        filename=filename,
        versions=_list([version]),
        max_batch=MAX_BATCH,
        queue_delay_us=_QUEUE_DELAY_US,
        features=shapes[f"{tower}_features"],
        accelerator=_accelerator(accelerator),
        **{key: shapes[key] for key in ("embedding_dim", "image_size", "max_tokens")},
    )


def graph_file(platform: str) -> str:
    """Return the name of the file that a tower's version holds."""
    return _PLATFORMS[platform][1]


def _accelerator(parameters: Mapping[str, str]) -> str:
    if not parameters:
        return ""
    lines = [f'      parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items()]
    chosen = "\n".join(['    {\n      name: "tensorrt"', *lines, "    }"])
    return f"optimization {{ execution_accelerators {{\n  gpu_execution_accelerator: [\n{chosen}\n  ]\n}} }}"


def _template(model: str, kind: str) -> Template:
    return Template((TEMPLATES / model / f"config.{kind}.pbtxt").read_text())


def _list(versions: list[int]) -> str:
    return ", ".join(map(str, versions))
