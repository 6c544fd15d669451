"""The model repository templates keep the service contract and import only what the serving environment has."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from serving_bundles import tiny_bundle
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ecclip.formats.service import INPUTS, OUTPUTS
from ecclip.serving import Repository
from ecclip.serving.deploy.repository import MODELS

TEMPLATES = Path(__file__).parents[2] / "triton_models"
SERVING = {"numpy", "onnxruntime", "tokenizers", "PIL", "triton_python_backend_utils"}


def _config(repository: Repository, model: str) -> ModelConfig:
    repository.configure(model, [2, 1])
    return text_format.Parse((repository.folder / model / "config.pbtxt").read_text(), ModelConfig())


@pytest.mark.parametrize("kind", ["embedded", "onnxruntime", "tensorrt"])
@pytest.mark.parametrize("model", MODELS)
def test_every_configuration_is_one_that_triton_reads(tmp_path: Path, model: str, kind: str) -> None:
    repository = Repository(tmp_path)
    for version in (1, 2):
        repository.stage(tiny_bundle(0), version)
    config = _config(Repository(tmp_path, kind), model)  # type: ignore[arg-type]
    assert config.name == model
    assert list(config.version_policy.specific.versions) == [1, 2]
    assert config.platform != "ensemble"
    if kind == "tensorrt" and model.endswith("tower"):
        assert (config.platform, config.default_model_filename) == ("tensorrt_plan", "model.plan")


def test_product_takes_and_gives_what_the_contract_says(tmp_path: Path) -> None:
    config = _config(Repository(tmp_path), "product")
    types = {"BYTES": 13, "FP32": 11}  # TYPE_STRING and TYPE_FP32 of model_config.proto
    for found, declared in ((config.input, INPUTS), (config.output, OUTPUTS)):
        assert [(one.name, one.data_type, list(one.dims)) for one in found] == [
            (one.name, types[one.datatype], [one.size]) for one in declared
        ]
    assert [one.name for one in config.input if one.optional] == ["DESCRIPTION"]
    assert config.dynamic_batching.default_queue_policy.allow_timeout_override
    assert config.dynamic_batching.default_queue_policy.max_queue_size > 0


@pytest.mark.parametrize("name", ["graph/model.py", "product/model.py"])
def test_python_models_import_only_what_the_serving_environment_has(name: str) -> None:
    found = set()
    for node in ast.walk(ast.parse((TEMPLATES / name).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    assert found - set(sys.stdlib_module_names) <= SERVING
