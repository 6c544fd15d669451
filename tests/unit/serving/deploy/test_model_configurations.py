"""The configuration of each model in the repository: what its platform, its versions and their bundles ask for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from serving_bundles import sealed, tiny_bundle
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ecclip.client import MAX_BATCH
from ecclip.core import digest_of, settings
from ecclip.formats.bundle import Bundle
from ecclip.serving import EngineConfig, Repository, Target

TOWERS = ("image_tower", "text_tower")


def _config(repository: Repository, model: str, *versions: int) -> ModelConfig:
    repository.configure(model, versions)
    return text_format.Parse((repository.folder / model / "config.pbtxt").read_text(), ModelConfig())


@pytest.mark.parametrize(("model", "instances"), [("product", 3), ("candidate", 1)])
def test_an_entry_is_configured_by_its_own_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, instances: int
) -> None:
    monkeypatch.setenv("ECCLIP_SERVING_INSTANCES", "3")
    settings.cache_clear()
    config = _config(Repository(tmp_path), model, 3, 1, 3)
    assert (config.name, config.backend, config.max_batch_size) == (model, "python", MAX_BATCH)
    assert list(config.version_policy.specific.versions) == [1, 3]
    assert [(group.kind, group.count) for group in config.instance_group] == [(2, instances)]  # KIND_CPU
    assert config.dynamic_batching.max_queue_delay_microseconds == 200
    assert [tensor.name for tensor in config.input] == ["IMAGE", "TITLE", "DESCRIPTION", "LANGUAGE"]
    assert "LINEAGE" in [tensor.name for tensor in config.output]


@pytest.mark.parametrize(("threads", "instances", "each"), [("6", "2", "3"), ("2", "2", "1"), ("1", "3", "1")])
def test_the_instances_of_an_embedded_tower_share_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str, instances: str, each: str
) -> None:
    monkeypatch.setenv("ECCLIP_TORCH_THREADS", threads)
    monkeypatch.setenv("ECCLIP_SERVING_INSTANCES", instances)
    settings.cache_clear()
    for tower in ("image_tower", "text_tower"):
        config = _config(Repository(tmp_path), tower, 2)
        assert (config.name, config.backend, config.platform, config.max_batch_size) == (tower, "python", "", MAX_BATCH)
        assert config.parameters["threads"].string_value == each
        assert [(group.kind, group.count) for group in config.instance_group] == [(2, int(instances))]  # KIND_CPU


def test_a_tower_of_another_platform_runs_in_its_backend(tmp_path: Path) -> None:
    repository = Repository(tmp_path, Target("onnxruntime"))
    repository.stage(tiny_bundle(0), 2)
    config = _config(repository, "image_tower_2", 2)
    assert (config.name, config.max_batch_size) == ("image_tower_2", MAX_BATCH)
    assert (config.backend, config.platform) == ("", "onnxruntime_onnx")
    assert list(config.input[0].dims) == [3, 64, 64]


def test_a_version_that_an_older_ecclip_staged_keeps_its_model_of_the_heads(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.stage(tiny_bundle(0), 4)
    record = tmp_path / ".state" / "version-4.json"
    told = json.loads(record.read_text())
    record.write_text(json.dumps(told | {"models": told["models"] | {"heads": "heads"}}))
    assert repository.graph_models([4]) == {"image_tower": [4], "text_tower": [4], "heads": [4]}
    assert [one.name for one in _config(repository, "heads", 4).output] == ["logits"]
    assert _config(repository, "image_tower", 4).backend == "python"


def test_versions_share_a_model_where_the_platform_lets_them(tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_bundle(0), other)
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + " ")
    Repository(tmp_path / "here").stage(tiny_bundle(0), 4)
    repository = Repository(tmp_path / "here", Target("onnxruntime"))
    repository.stage(other, 5)
    shared = {"image_tower": [4], "text_tower": [4]}
    assert repository.graph_models([4]) == shared
    assert repository.graph_models([5, 4, 5]) == shared | {"image_tower_5": [5], "text_tower_5": [5]}
    assert repository.graph_models([9]) == {name: [9] for name in shared}, "what is not staged is asked for by its name"
    assert repository.graph_folders() == ["image_tower", "image_tower_5", "text_tower", "text_tower_5"]


def test_a_configuration_that_is_right_is_not_written_again(tmp_path: Path) -> None:
    repository, path = Repository(tmp_path), tmp_path / "product" / "config.pbtxt"
    repository.configure("product", [1])
    written = path.stat()
    repository.configure("product", [1])
    assert path.stat() == written
    repository.configure("product", [2])
    assert path.stat().st_ino != written.st_ino


def test_a_version_for_a_gpu_says_what_it_was_staged_for_and_its_towers_are_configured_by_that(tmp_path: Path) -> None:
    bundle = Bundle(Path(shutil.copytree(tiny_bundle(0), tmp_path / "bundle")))
    half = {"embedding": 0.1, "score": 0.2}
    bundle.write_description(bundle.description() | {"precisions": {"float16": {"tolerance": half}}})
    for tower in TOWERS:
        shutil.copy(bundle.graph(tower), bundle.graph(tower, "float16"))
    sealed(bundle.folder)
    target = Target("onnxruntime_tensorrt", "NVIDIA L4", "/cache", EngineConfig(precision="float16"))
    repository = Repository(tmp_path / "repository", target)
    staged, lineage = repository.stage(bundle.folder, 3), digest_of(bundle.folder)[:16]
    assert (staged.served_by, staged.tolerance) == (("onnxruntime_tensorrt", "float16", "NVIDIA L4"), half)
    assert staged.accelerators == {f"{name}_3": target.accelerator(staged.shapes, lineage, name, 3) for name in TOWERS}
    for name, parameters in staged.accelerators.items():
        assert parameters["trt_engine_cache_path"] == f"/cache/{lineage}/nvidia-l4-float16"
        [found] = _config(repository, name, 3).optimization.execution_accelerators.gpu_execution_accelerator
        assert dict(found.parameters) == parameters
