"""Engines are built from a bundle's graphs in every precision, and a foreign or damaged one is refused with words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from rtx import rtx_python
from serving_bundles import export_tiny, tiny_bundle
from tritonclient.grpc.model_config_pb2 import ModelConfig
from typer.testing import CliRunner

from ecclip.cli import app
from ecclip.core import ConfigError, ContractError, EcclipError, ServiceError, digest_of, settings
from ecclip.formats.bundle import Bundle
from ecclip.serving import EngineConfig, Repository, Target, build_engines
from ecclip.serving.engine.config import TENSORRT_VERSION
from ecclip.serving.engine.described import engine_folder, read_engine_description

pytestmark = pytest.mark.heavy

PRECISIONS = ("float32", "float16", "bfloat16")
TOWERS = {"image_tower", "text_tower"}
GPU = "NVIDIA L4"
NIGHT = "2026-01-01"


@pytest.fixture(scope="module")
def rtx() -> Path:
    return rtx_python()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its towers in every precision."""
    # tiny random towers round more than trained ones
    limits = {"cosine": 0.99, "score": 0.2, "decisions": 0.5}
    halves = {"precisions": list(PRECISIONS[1:]), "float16": limits, "bfloat16": limits}
    return export_tiny(tmp_path_factory.mktemp("bundle"), 0, **halves)


@pytest.fixture(scope="module")
def built(rtx: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of a night with this bundle, whose engines TensorRT-RTX built in every precision by the command."""
    workspace = tmp_path_factory.mktemp("workspace")
    night = workspace / "work" / "nights" / NIGHT
    night.mkdir(parents=True)
    shutil.copytree(bundle, night / "bundle")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ECCLIP_WORKSPACE", str(workspace))
        environment.setenv("ECCLIP_TENSORRT_PYTHON", str(rtx))
        for precision in PRECISIONS:
            settings.cache_clear()
            (workspace / "params.yaml").write_text(f"engine: {{precision: {precision}}}\n")
            command = ["serving", "build-engine", "--night", NIGHT, "--builder", "rtx"]
            done = CliRunner().invoke(app, command, catch_exceptions=False)
            assert done.exit_code == 0, done.output
            assert '"outcome": "written"' in done.output
    settings.cache_clear()
    return workspace


@pytest.fixture
def workspace(built: Path, rtx: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(built))
    monkeypatch.setenv("ECCLIP_TENSORRT_PYTHON", str(rtx))
    return built


def _engines(workspace: Path, bundle: Path, precision: str = "float32") -> Path:
    return engine_folder(workspace / "work" / "engines", digest_of(bundle), "rtx", precision)


def test_a_bundle_says_how_far_its_halves_lie_from_float32(bundle: Path) -> None:
    described = Bundle(bundle).description()["precisions"]
    assert set(described) == set(PRECISIONS[1:])
    for precision, said in described.items():
        assert 0 < said["found"]["cosine_distance"] <= 1 - said["tolerance"]["cosine"], precision
        assert 0 < said["found"]["score"] <= 1
    sizes = {name: Bundle(bundle).graph("text_tower", name).stat().st_size for name in PRECISIONS}
    assert max(sizes["float16"], sizes["bfloat16"]) < 0.6 * sizes["float32"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_graphs_build_in_every_precision_and_the_engines_say_what_they_are(
    workspace: Path, bundle: Path, precision: str
) -> None:
    folder = _engines(workspace, bundle, precision)
    described = read_engine_description(folder)
    assert (described.bundle, described.precision) == (digest_of(bundle), precision)
    device = described.device
    assert (device.builder, device.gpu, device.compute_capability) == ("rtx", "", "8.9")
    assert described.profiles["image_tower"] == {"pixels": ([1, 3, 64, 64], [8, 3, 64, 64], [32, 3, 64, 64])}
    assert described.profiles["text_tower"] == dict.fromkeys(("ids", "mask"), ([1, 16], [8, 16], [32, 16]))
    assert set(described.plans) == TOWERS
    for plan in described.plans.values():
        assert plan.outputs == {"embedding": "FLOAT", "features": "FLOAT"}
        assert set(plan.inputs.values()) <= {"UINT8", "INT64"}
    assert {path.name for path in folder.iterdir()} == {
        "engine.json", "manifest.json", "image_tower.plan", "text_tower.plan",
    }  # fmt: skip


def test_engines_of_this_bundle_and_device_are_not_built_again(workspace: Path, bundle: Path) -> None:
    cfg = EngineConfig()
    assert build_engines(bundle, cfg, "rtx", "8.9").outcome == "unchanged"
    for_another = build_engines(bundle, cfg, "rtx", "8.6")
    assert for_another.outcome == "written"
    assert read_engine_description(workspace / for_another.output).device.compute_capability == "8.6"
    assert build_engines(bundle, cfg, "rtx", "8.9").outcome == "written"


def test_what_cannot_be_built_is_said(workspace: Path, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"compute capability '9\.9', but for .*SM89"):
        build_engines(bundle, EngineConfig(), "rtx", "9.9")
    with pytest.raises(ConfigError, match="no tensorrt"):
        build_engines(bundle, EngineConfig())
    with pytest.raises(ContractError, match=r"name float16 in export\.precisions"):
        build_engines(tiny_bundle(0), EngineConfig(precision="float16"), "rtx", "8.9")


def _served(workspace: Path, bundle: Path, folder: Path, **device: str) -> Target:
    """Return a server's target with these engines, as if TensorRT had built them on its GPU, in a folder of its own."""
    ours = engine_folder(folder / "engines", digest_of(bundle), "tensorrt", "float32")
    shutil.copytree(_engines(workspace, bundle), ours)
    said = json.loads((ours / "engine.json").read_text())
    said["device"] |= {"builder": "tensorrt", "tensorrt": TENSORRT_VERSION, "gpu": GPU} | device
    (ours / "engine.json").write_text(json.dumps(said))
    return Target("tensorrt_plan", GPU, engines=folder / "engines")


def test_engines_become_models_that_triton_reads(workspace: Path, bundle: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "models", _served(workspace, bundle, tmp_path))
    staged = repository.stage(bundle, 3)
    assert staged.served_by == ("tensorrt_plan", "float32", GPU)
    for tower in TOWERS:
        name = f"{tower}_3"
        repository.configure(name, [3])
        config = text_format.Parse((tmp_path / "models" / name / "config.pbtxt").read_text(), ModelConfig())
        assert (config.platform, config.default_model_filename) == ("tensorrt_plan", "model.plan")
        plan = tmp_path / "models" / name / "3" / "model.plan"
        assert plan.read_bytes() == (_engines(workspace, bundle) / f"{tower}.plan").read_bytes()
        assert (plan.parent / "engine.json").is_file()
    assert repository.stage(bundle, 3) == repository.verify(3)


def _edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        said = json.loads((folder / "engine.json").read_text())
        change(said)
        (folder / "engine.json").write_text(json.dumps(said))

    return edit


def _cut(folder: Path) -> None:
    plan = folder / "text_tower.plan"
    plan.write_bytes(plan.read_bytes()[:-1000])


def _flip(folder: Path) -> None:
    plan = folder / "image_tower.plan"
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another bundle": (_edit(lambda said: said.update(bundle="0" * 64)), "built from another bundle"),
    "another GPU": (_edit(lambda said: said["device"].update(gpu="NVIDIA A10G")), "on another GPU.*A10G.*L4"),
    "another TensorRT": (_edit(lambda said: said["device"].update(tensorrt="10.0.1.6")), "by another TensorRT"),
    "another builder": (_edit(lambda said: said["device"].update(builder="rtx")), "of another builder"),
    "another precision": (_edit(lambda said: said.update(precision="float16")), "in another precision"),
    "smaller batches": (
        _edit(lambda said: said["profiles"]["text_tower"]["ids"][2].__setitem__(0, 4)),
        "text_tower takes other batches than from 1 to 32",
    ),
    "truncated": (_cut, r"truncated.*text_tower\.plan"),
    "changed": (_flip, r"not what was built.*image_tower\.plan"),
    "one missing": (lambda folder: (folder / "image_tower.plan").unlink(), r"missing.*image_tower\.plan"),
    "not described": (_edit(lambda said: said["plans"].pop("text_tower")), "missing"),
    "no description": (lambda folder: (folder / "engine.json").unlink(), r"engine\.json"),
    "another schema": (_edit(lambda said: said.update(schema="ecclip.engine/9")), "cannot read the schema"),
    "no fields": (_edit(lambda said: said.pop("device")), "not what the build wrote"),
}


@pytest.mark.fault(21)
@pytest.mark.parametrize("what", REFUSED)
def test_a_foreign_or_damaged_engine_is_refused_before_it_is_placed(
    workspace: Path, bundle: Path, tmp_path: Path, what: str
) -> None:
    spoil, words = REFUSED[what]
    target = _served(workspace, bundle, tmp_path)
    spoil(engine_folder(target.engines, digest_of(bundle), "tensorrt", "float32"))
    repository = Repository(tmp_path / "models", target)
    with pytest.raises(EcclipError, match=words) as refusal:
        repository.stage(bundle, 1)
    assert "build-engine" in refusal.value.next_step
    assert repository.staged(1) is None
    assert list((tmp_path / "models").glob("[!.]*")) == []


@pytest.mark.fault(21)
def test_a_bundle_without_engines_is_refused(bundle: Path, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "models", Target("tensorrt_plan", GPU, engines=tmp_path / "engines"))
    with pytest.raises(EcclipError, match="build-engine"):
        repository.stage(bundle, 1)
