"""The stage ``build_engine``: a bundle's towers become TensorRT engines for the GPU that serves."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ecclip.core import (
    ConfigError,
    ContractError,
    Counts,
    Report,
    ServiceError,
    canonical_json,
    digest_of,
    get_logger,
    patient,
    settings,
    sha256_file,
    stage,
    verify_folder,
    write_atomic,
)
from ecclip.formats.bundle import Bundle
from ecclip.serving.engine.config import EngineConfig, bundle_shapes, profiles_of
from ecclip.serving.engine.described import (
    BuilderName,
    Device,
    EngineDescription,
    PlanFile,
    engine_folder,
    plan_path,
    write_engine_description,
)

_SCRIPT = "ecclip.serving.engine.builder"  # runs where TensorRT is
_BUILD_TIMEOUT_S = 3600.0  # a large tower takes minutes on its GPU; by judgment
_DESCRIBE_TIMEOUT_S = 120.0  # an import and a question to the driver; by judgment


def build_engines(bundle: Path, cfg: EngineConfig, builder: BuilderName = "tensorrt", capability: str = "") -> Report:
    """Build the engines of a bundle below work/engines; those of this bundle, GPU and TensorRT are "unchanged".

    ``capability`` is the compute capability that ``rtx`` builds for; ``tensorrt`` asks the GPU of this machine.

    Raises:
        ConfigError: the interpreter that is to build has no TensorRT, or this machine no GPU.
        ContractError: the bundle has no graphs of this precision.
        ServiceError: a graph cannot be parsed or built.
    """
    device = _describe(builder, capability)
    output = engine_folder(settings().work / "engines", digest_of(bundle), builder, cfg.precision)
    described = output.with_name(f"{output.name}.device.json")
    write_atomic(described, canonical_json(device.model_dump()))
    return build_engine(cfg, bundle, described, output)


@stage
def build_engine(cfg: EngineConfig, bundle: Path, device: Path, output: Path) -> Counts:
    """Write one engine per tower and ``engine.json``; ``device`` says what they are built by and for.

    What a build on this device measured before is taken over from a timing cache, which no result depends on but by
    the choice among kernels of equal meaning. The bytes of an engine are those of one build: nothing promises that
    another one gives the same.

    Raises:
        ContractError: the bundle has no graphs of this precision.
        IntegrityError: the bundle is not what its manifest says.
        ServiceError: a graph cannot be parsed or built.
    """
    verify_folder(bundle)
    profiles = profiles_of(bundle_shapes(bundle), cfg.usual_batch)
    built_for = Device.model_validate_json(device.read_bytes())
    types = _build(cfg, built_for, _graphs(bundle, cfg.precision, profiles, output))
    plans = {name: _plan_file(plan_path(output, name), types[name]) for name in profiles}
    description = EngineDescription(
        bundle=digest_of(bundle), device=built_for, precision=cfg.precision, profiles=profiles, plans=plans
    )
    write_engine_description(output, description)
    return Counts(read={"graphs": len(profiles)}, written={"engines": len(plans)}, detail=built_for.model_dump())


def _graphs(bundle: Path, precision: str, profiles: dict[str, Any], output: Path) -> dict[str, Any]:
    graphs = {}
    for name, profile in profiles.items():
        path = Bundle(bundle).graph(name, precision)
        if not path.is_file():
            raise ContractError(
                "the bundle has no graphs of the precision that is to be built",
                value=precision,
                next_step=f"name {precision} in export.precisions and run export of its night",
            )
        graphs[name] = {"onnx": str(path), "plan": str(plan_path(output, name)), "profile": profile}
    return graphs


def _build(cfg: EngineConfig, device: Device, graphs: dict[str, Any]) -> dict[str, Any]:
    timings = settings().work / "engines" / "timings"
    timings.mkdir(parents=True, exist_ok=True)
    slug = "-".join(part for part in (device.builder, device.tensorrt, device.gpu, device.compute_capability) if part)
    request = {
        "builder": device.builder,
        "compute_capability": device.compute_capability,
        "optimization_level": cfg.optimization_level,
        "workspace_bytes": cfg.workspace_mib << 20,
        "timing_cache": str(timings / f"{slug.replace('/', '-').replace(' ', '-')}.cache"),
        "graphs": graphs,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "request.json"
        path.write_text(canonical_json(request))
        return dict(_run(device.builder, ["build", str(path)], _BUILD_TIMEOUT_S, ServiceError)["types"])


def _describe(builder: BuilderName, capability: str) -> Device:
    words = ["describe", builder, *([capability] if capability else [])]
    return Device.model_validate(_run(builder, words, _DESCRIBE_TIMEOUT_S, ConfigError))


def _run(builder: BuilderName, words: list[str], limit_s: float, error: type[ConfigError] | type[ServiceError]) -> Any:
    """Run the script where TensorRT is; return what it printed."""
    python, script = _python(builder), importlib.util.find_spec(_SCRIPT)
    assert script is not None, _SCRIPT
    try:
        done = subprocess.run(
            [str(python), "-I", str(script.origin), *words], capture_output=True, text=True, timeout=patient(limit_s)
        )
    except (OSError, subprocess.TimeoutExpired) as reason:
        raise error(
            "the interpreter that builds engines did not do it",
            value=f"{python}: {reason}",
            next_step="set ECCLIP_TENSORRT_PYTHON to a Python that has TensorRT's bindings",
        ) from reason
    if lines := done.stderr.strip():
        get_logger().info("the builder said", lines=lines[-2000:])
    found = _parsed(done.stdout)
    if done.returncode or "error" in found:
        raise error(
            "engines cannot be built" if words[0] == "build" else "engines cannot be built on this machine",
            value=found.get("error") or lines[-500:] or f"exit status {done.returncode}",
            next_step="build them in the image of infra/images/engine.Dockerfile, on the GPU that serves; without one, "
            "`scripts/rtx-env` and --builder rtx show that the graphs build",
        )
    return found


def _parsed(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return {}


def _python(builder: BuilderName) -> Path:
    own = settings().work / "env" / "rtx" / "bin" / "python"
    return settings().tensorrt_python or (own if builder == "rtx" else Path(sys.executable))


def _plan_file(path: Path, types: dict[str, dict[str, str]]) -> PlanFile:
    return PlanFile(bytes=path.stat().st_size, sha256=sha256_file(path), **types)
