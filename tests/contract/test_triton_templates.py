"""The model repository templates keep the service contract and import only what the serving environment has."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from serving_bundles import tiny_bundle
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from ecclip.client import MAX_BATCH
from ecclip.core import ConfigError, digest_of, settings
from ecclip.formats.service import INPUTS, OUTPUTS
from ecclip.serving import Repository, Target, stage_bundle

TEMPLATES = Path(__file__).parents[2] / "triton_models"
SERVING = {"numpy", "onnxruntime", "tokenizers", "PIL", "triton_python_backend_utils"}


GPU = "NVIDIA L4"
PLATFORMS = ("embedded", "onnxruntime", "onnxruntime_tensorrt")
# what onnxruntime's backend knows of TensorRT; it refuses a model with any other key
ACCELERATOR_KEYS = {
    "precision_mode", "max_workspace_size_bytes", "trt_engine_cache_enable", "trt_engine_cache_path",
    "trt_engine_cache_prefix", "trt_timing_cache_enable", "trt_timing_cache_path", "trt_profile_min_shapes",
    "trt_profile_opt_shapes", "trt_profile_max_shapes", "trt_builder_optimization_level", "trt_cuda_graph_enable",
    "trt_layer_norm_fp32_fallback", "trt_dump_ep_context_model", "trt_ep_context_file_path",
}  # fmt: skip


def _config(repository: Repository, model: str, versions: list[int]) -> ModelConfig:
    repository.configure(model, versions)
    return text_format.Parse((repository.folder / model / "config.pbtxt").read_text(), ModelConfig())


def _staged(folder: Path, platform: Any) -> Repository:
    repository = Repository(folder, Target(platform, GPU, "/cache"))
    for version in (1, 2):
        repository.stage(tiny_bundle(0), version)
    return repository


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_configuration_is_one_that_triton_reads(tmp_path: Path, platform: str) -> None:
    repository = _staged(tmp_path, platform)
    models = {**repository.graph_models([1, 2]), "product": [1], "candidate": [2]}
    assert {*models} - {"product", "candidate"} == {*repository.graph_folders()}
    for model, versions in models.items():
        config = _config(repository, model, versions)
        assert config.name == model
        assert list(config.version_policy.specific.versions) == versions
        assert config.platform != "ensemble"
        assert all((tmp_path / model / str(version)).is_dir() for version in versions)


def test_the_embedded_server_has_one_model_of_each_graph_with_all_versions(tmp_path: Path) -> None:
    models = _staged(tmp_path, "embedded").graph_models([1, 2])
    assert models == {"image_tower": [1, 2], "text_tower": [1, 2]}


@pytest.mark.parametrize("platform", PLATFORMS[1:])
def test_towers_on_a_gpu_are_models_of_one_version_with_the_shapes_of_its_bundle(tmp_path: Path, platform: str) -> None:
    repository = _staged(tmp_path, platform)
    assert repository.graph_models([2]) == {"image_tower_2": [2], "text_tower_2": [2]}
    image, text = (_config(repository, name, [2]) for name in ("image_tower_2", "text_tower_2"))
    for config in (image, text):
        assert (config.platform, config.default_model_filename) == ("onnxruntime_onnx", "model.onnx")
        assert (tmp_path / config.name / "2" / "model.onnx").is_file()
        assert [one.kind for one in config.instance_group] == [ModelInstanceGroup.KIND_GPU]
    assert [list(one.dims) for one in image.input] == [[3, 64, 64]]
    assert [(one.name, list(one.dims)) for one in text.input] == [("ids", [16]), ("mask", [16])]
    for config in (image, text):
        answer = np.load(tiny_bundle(0) / "known" / f"{config.name[:-2]}.npz")
        assert [(one.name, list(one.dims)) for one in config.output] == [
            (name, [answer[name].shape[1]]) for name in ("embedding", "features")
        ]
    entry = json.loads((tmp_path / "product" / "2" / "entry.json").read_text())
    assert entry["models"] == {"image_tower": "image_tower_2", "text_tower": "text_tower_2"}


def test_the_tensorrt_accelerator_gets_keys_that_it_knows_and_a_cache_of_this_bundle_and_gpu(tmp_path: Path) -> None:
    repository = _staged(tmp_path, "onnxruntime_tensorrt")
    lineage = digest_of(tiny_bundle(0))[:16]
    for name, inputs in (("image_tower_1", {"pixels": "3x64x64"}), ("text_tower_1", {"ids": "16", "mask": "16"})):
        [accelerator] = _config(repository, name, [1]).optimization.execution_accelerators.gpu_execution_accelerator
        assert accelerator.name == "tensorrt"
        assert set(accelerator.parameters) - ACCELERATOR_KEYS == set()
        assert accelerator.parameters["trt_engine_cache_path"] == f"/cache/{lineage}/nvidia-l4-float32"
        for which, batch in (("min", 1), ("opt", 8), ("max", MAX_BATCH)):
            shapes = ",".join(f"{one}:{batch}x{shape}" for one, shape in inputs.items())
            assert accelerator.parameters[f"trt_profile_{which}_shapes"] == shapes
    plain = _config(_staged(tmp_path / "plain", "onnxruntime"), "image_tower_1", [1])
    assert not plain.optimization.execution_accelerators.gpu_execution_accelerator


@pytest.mark.parametrize("platform", ["onnxruntime_tensorrt", "tensorrt_plan"])
def test_engines_want_to_know_the_gpu(platform: Any) -> None:
    with pytest.raises(ConfigError, match="ECCLIP_SERVING_GPU"):
        Target(platform)


def test_a_version_that_was_staged_for_another_server_is_not_loaded_on_this_one(tmp_path: Path) -> None:
    _staged(tmp_path, "embedded")
    with pytest.raises(ConfigError, match="lies in the model repository for another server"):
        Repository(tmp_path, Target("onnxruntime")).stage(tiny_bundle(0), 1)


def test_a_bundle_that_is_there_for_another_server_gets_a_number_for_this_one(tmp_path: Path) -> None:
    digest = digest_of(tiny_bundle(0))
    assert _staged(tmp_path, "embedded").number_for(digest) == 2
    repository = Repository(tmp_path, Target("onnxruntime"))
    assert repository.number_for(digest) == 3
    assert repository.stage(tiny_bundle(0), 3).platform == "onnxruntime"
    assert repository.number_for(digest) == repository.number_of(digest) == 3


def test_another_platform_than_the_embedded_one_needs_a_server_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("ECCLIP_SERVING_PLATFORM", "onnxruntime")
    with pytest.raises(ConfigError, match="ECCLIP_TRITON_ADDRESSES"):
        stage_bundle(tiny_bundle(0))
    monkeypatch.setenv("ECCLIP_TRITON_ADDRESSES", "gpu.example:8001")
    settings.cache_clear()
    assert stage_bundle(tiny_bundle(0)).platform == "onnxruntime"


def test_product_takes_and_gives_what_the_contract_says(tmp_path: Path) -> None:
    config = _config(Repository(tmp_path), "product", [2, 1])
    types = {"BYTES": 13, "FP32": 11}  # TYPE_STRING and TYPE_FP32 of model_config.proto
    for found, declared in ((config.input, INPUTS), (config.output, OUTPUTS)):
        assert [(one.name, one.data_type, list(one.dims)) for one in found] == [
            (one.name, types[one.datatype], [one.size]) for one in declared
        ]
    assert [one.name for one in config.input if one.optional] == ["DESCRIPTION", "LANGUAGE"]
    assert config.dynamic_batching.default_queue_policy.allow_timeout_override
    assert config.dynamic_batching.default_queue_policy.max_queue_size > 0


@pytest.mark.parametrize("name", sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.py")))
def test_python_models_import_only_what_the_serving_environment_has(name: str) -> None:
    found = set()
    for node in ast.walk(ast.parse((TEMPLATES / name).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    beside = {path.stem for path in (TEMPLATES / name).parent.glob("*.py")} | {"onnx_graph"}  # staged with them
    assert found - beside - set(sys.stdlib_module_names) <= SERVING
