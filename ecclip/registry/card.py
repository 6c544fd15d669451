"""A version as MLflow's pages show it and its ``load_model`` reads it: description, inputs and outputs, flavour."""

from __future__ import annotations

import base64
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ecclip.core import canonical_json, settings, shown_markdown, write_atomic
from ecclip.formats.bundle import FLAVOUR, Bundle, lineage_of
from ecclip.formats.service import EXAMPLE, INPUTS, OUTPUTS, VARIES, Tensor
from ecclip.registry.bundles import BundleFacts

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

BUNDLE = "bundle"  # the folder of a logged model that holds the bundle
_EXAMPLE = "input_example.json"
# what the bundle's code needs to answer; Pillow's version is compared when it is loaded
_LIBRARIES = ("mlflow", "numpy", "onnxruntime", "pandas", "pillow", "tokenizers")
_TYPES = {"binary": "binary", "number": "float"}  # of MLflow; whatever else the service speaks is a string


def describe(facts: BundleFacts, stored: Path) -> str:
    """Return the Markdown description of a version: what it was made from and how well it does."""
    labels = "".join(f"| {shown_markdown(name)} | {count} |\n" for name, count in sorted(facts.labels.items()))
    both = {name: value for name, value in sorted(facts.metrics.items()) if "/both/" in name}
    metrics = "".join(f"| {shown_markdown(name)} | {value:.4f} |\n" for name, value in both.items())
    return (
        f"Bundle of the night **{facts.night}**, lineage id `{lineage_of(facts.digest)}`: "
        f"towers, heads, labels, thresholds, preprocessing and ONNX graphs that are deployed as one.\n\n"
        f"- bundle: `{_in_workspace(stored)}`\n- snapshot digest: `{facts.snapshot_digest}`\n"
        f"- git commit: `{facts.git_commit}`\n"
        f"- embedding: {facts.embedding_dim or '?'} numbers, length 1\n\n"
        f"{_outcome(facts.cells)}"
        f"| task | labels |\n|---|---|\n{labels}\n| metric (image and text together) | value |\n|---|---|\n{metrics}"
    )


def _outcome(cells: Mapping[str, int]) -> str:
    """Return how the cells end beside the frozen start, a cell being a task from one modality."""
    if not cells:
        return "Nothing is known of it beside the frozen start.\n\n"
    return (
        f"Beside the towers before any training, of {cells['cells_total']} cells: **{cells['cells_ahead']} ahead, "
        f"{cells['cells_behind']} behind**; {cells['cells_fallback']} served by towers that the training began with."
        "\n\n"
    )


def write_card(facts: BundleFacts, stored: Path, folder: Path, run_id: str) -> None:
    """Write the files that make a logged model of the bundle beside them: MLmodel with the pyfunc flavour and the
    signature of the service, an input example, the requirements, and a pointer to the bundle store.
    """
    from mlflow.models import Model

    pointer = {"schema": "ecclip.pointer/1", "digest": facts.digest, "uri": _in_workspace(stored), "files": facts.files}
    model = Model(
        run_id=run_id,
        signature=_signature(),
        saved_input_example_info={"artifact_path": _EXAMPLE, "type": "dataframe", "pandas_orient": "split"},
        flavors={"ecclip": {"bundle_digest": facts.digest, "pointer": "pointer.json"}, "python_function": _flavour()},
        metadata={"lineage_id": lineage_of(facts.digest), "night": facts.night},
    )
    write_atomic(folder / "requirements.txt", "".join(f"{name}=={version(name)}\n" for name in _LIBRARIES))
    needs = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    write_atomic(folder / "python_env.yaml", yaml.safe_dump(needs))
    example = {name: _jsonable(value) for name, value in EXAMPLE.items()}
    write_atomic(folder / _EXAMPLE, canonical_json({"columns": [*example], "data": [[*example.values()]]}))
    write_atomic(folder / "pointer.json", canonical_json(pointer))
    write_atomic(folder / "MLmodel", model.to_yaml())


def _in_workspace(stored: Path) -> str:
    """Return where a bundle lies as the workspace says it, which may be moved or copied."""
    return stored.relative_to(settings().workspace.resolve()).as_posix()


def _flavour() -> dict[str, Any]:
    """Return what ``mlflow.pyfunc.add_to_model`` would enter; importing that loads half of MLflow's flavours."""
    return {
        "loader_module": FLAVOUR,
        "data": BUNDLE,
        # its own code, so that a process without ecclip, or with another version of it, answers as the server does
        "code": Bundle(Path(BUNDLE)).code.as_posix(),
        "env": {"virtualenv": "python_env.yaml"},
        "python_version": platform.python_version(),
    }


def _signature() -> ModelSignature:
    """Return the service's inputs and outputs; an output of variable size is an array, as the flavour returns it."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Array

    def kind(one: Tensor) -> Any:
        name = _TYPES.get(one.content, "string")
        return Array(name) if one.size == VARIES else name

    return ModelSignature(
        inputs=Schema([ColSpec(kind(one), one.name, required=False) for one in INPUTS]),
        outputs=Schema([ColSpec(kind(one), one.name) for one in OUTPUTS]),
    )


def _jsonable(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode()
