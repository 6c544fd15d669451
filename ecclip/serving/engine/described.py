"""``engine.json``: what engines were built from, by what and for which GPU; and whether a server may load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ecclip.client import MAX_BATCH
from ecclip.core import ContractError, IntegrityError, sha256_file
from ecclip.formats.bundle import Precision
from ecclip.formats.documents import read_document, write_document
from ecclip.serving.engine.config import TENSORRT_VERSION

SCHEMA = "ecclip.engine/1"
DESCRIPTION = "engine.json"
BuilderName = Literal["tensorrt", "rtx"]
_AGAIN = "ecclip serving build-engine --night <its night>, in the image of the server and on its GPU"


class Device(BaseModel):
    """What engines are built by and for; an engine is read by the same TensorRT on the same kind of GPU alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    builder: BuilderName
    tensorrt: str
    gpu: str
    compute_capability: str


class PlanFile(BaseModel):
    """One engine: its size and content, and the types of its inputs and outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    sha256: str
    inputs: dict[str, str]
    outputs: dict[str, str]


class EngineDescription(BaseModel):
    """The engines of a bundle: ``plans`` and ``profiles`` by graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bundle: str
    device: Device
    precision: Precision
    profiles: dict[str, dict[str, tuple[list[int], list[int], list[int]]]]
    plans: dict[str, PlanFile]


def engine_folder(engines: Path, bundle: str, builder: str, precision: str) -> Path:
    """Return where the engines of a bundle (its digest) lie below the folder of all engines."""
    return engines / bundle / f"{builder}-{precision}"


def plan_path(folder: Path, graph: str) -> Path:
    """Return the file of a graph's engine."""
    return folder / f"{graph}.plan"


def write_engine_description(folder: Path, described: EngineDescription) -> None:
    """Write ``engine.json``."""
    write_document(folder / DESCRIPTION, SCHEMA, described.model_dump(mode="json"))


def read_engine_description(folder: Path) -> EngineDescription:
    """Return what :func:`write_engine_description` wrote.

    Raises:
        ContractError: it has a schema that this code does not know.
        IntegrityError: there is none, or it cannot be read.
    """
    content = read_document(folder / DESCRIPTION, SCHEMA, _AGAIN)
    try:
        return EngineDescription.model_validate({name: value for name, value in content.items() if name != "schema"})
    except ValidationError as error:
        raise IntegrityError(
            "engine.json is not what the build wrote", value=folder / DESCRIPTION, limit=str(error), next_step=_AGAIN
        ) from error


def check_engine(
    folder: Path, bundle: str, gpu: str, precision: str, profiles: dict[str, Any], builder: BuilderName = "tensorrt"
) -> EngineDescription:
    """Return the description of engines that a server with this GPU may load; nothing is loaded here.

    ``profiles`` are those of the bundle's shapes: engines must take its inputs, from one listing to a full message.

    Raises:
        ContractError: the engines are of another bundle, precision, builder, TensorRT or GPU, or for other shapes.
        IntegrityError: a file is missing, truncated or changed.
    """
    described = read_engine_description(folder)
    _same("the engines were built from another bundle", described.bundle[:16], bundle[:16])
    _same("the engines are those of another builder", described.device.builder, builder)
    _same("the engines were built in another precision", described.precision, precision)
    if builder == "tensorrt":
        _same("the engines were built by another TensorRT", described.device.tensorrt, TENSORRT_VERSION)
        _same("the engines were built on another GPU", described.device.gpu, gpu)
    for graph, expected in profiles.items():
        found = described.profiles.get(graph, {})
        for name, (smallest, _, largest) in expected.items():
            ends = (found[name][0], found[name][2]) if name in found else None
            _same(f"the engine of {graph} takes other batches than from 1 to {MAX_BATCH}", ends, (smallest, largest))
        _check_file(plan_path(folder, graph), described.plans.get(graph))
    return described


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise ContractError(what, value=found, limit=wanted, next_step=_AGAIN)


def _check_file(path: Path, known: PlanFile | None) -> None:
    if known is None or not path.is_file():
        raise IntegrityError("an engine is missing", value=path, next_step=_AGAIN)
    if path.stat().st_size != known.bytes:
        raise IntegrityError(
            "an engine is truncated, or longer than it was",
            value=f"{path}: {path.stat().st_size} bytes",
            limit=f"{known.bytes} bytes",
            next_step=_AGAIN,
        )
    if sha256_file(path) != known.sha256:
        raise IntegrityError("an engine is not what was built", value=path, next_step=_AGAIN)
