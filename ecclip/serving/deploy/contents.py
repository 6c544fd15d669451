"""What a version folder of each model holds, taken from a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ecclip
from ecclip.atomic import files_below
from ecclip.core import ContractError, IntegrityError, canonical_json
from ecclip.formats.bundle import Bundle, lineage_of
from ecclip.serving.answering.entry import entry_of
from ecclip.serving.deploy.platforms import (
    CANDIDATE,
    ENTRY,
    HEADS,
    TEMPLATES,
    TOWERS,
    Target,
    graph_file,
)
from ecclip.serving.engine.config import bundle_shapes, profiles_of
from ecclip.serving.engine.described import DESCRIPTION, check_engine, engine_folder, plan_path

_RUNS_GRAPHS = Path(ecclip.__file__).parent / "serving" / "answering" / "onnx_graph.py"
_READS_LISTINGS = "ecclip/serving/answering/listings.py"  # which the entry model imports


def contents_of(bundle: Path, digest: str, names: Mapping[str, str], target: Target) -> dict[str, dict[str, bytes]]:
    """Return the files of a version by model and path; ``names`` says what each graph's model is called."""
    if target.platform == "embedded":
        contents = {names[tower]: _python_graph(bundle, tower) for tower in TOWERS}
    else:
        contents = {names[tower]: _gpu_graph(bundle, digest, tower, target) for tower in TOWERS}
    entry = {
        **_code(bundle),
        **{name: (TEMPLATES / ENTRY / name).read_bytes() for name in ("model.py", "entry_metrics.py")},
        "heads.onnx": Bundle(bundle).graph(HEADS).read_bytes(),
        "known_heads.npz": Bundle(bundle).known_answer(HEADS).read_bytes(),
        "tokenizer.json": Bundle(bundle).tokenizer.read_bytes(),
        "known.json": Bundle(bundle).known_question.read_bytes(),
        "entry.json": canonical_json(entry_of(bundle, lineage_of(digest)) | {"models": dict(names)}).encode(),
    }
    return contents | {ENTRY: entry, CANDIDATE: entry}


def tolerance_of(bundle: Path, precision: str) -> dict[str, float]:
    """Return how far answers in a precision may lie from those in float32, as the bundle says it.

    Raises:
        ContractError: the bundle has no graphs of this precision.
    """
    described = Bundle(bundle).description()
    if precision == "float32":
        return dict(described["tolerance"])
    if precision not in (described.get("precisions") or {}):
        raise ContractError(
            "the bundle has no graphs of the precision that is to be served",
            value=precision,
            limit=", ".join(["float32", *(described.get("precisions") or {})]),
            next_step=f"name {precision} in export.precisions and run export of its night, or change engine.precision",
        )
    return dict(described["precisions"][precision]["tolerance"])


def _python_graph(bundle: Path, model: str) -> dict[str, bytes]:
    parts = Bundle(bundle)
    return {
        "model.py": (TEMPLATES / "graph" / "model.py").read_bytes(),
        _RUNS_GRAPHS.name: _RUNS_GRAPHS.read_bytes(),
        "model.onnx": parts.graph(model).read_bytes(),
        "known.npz": parts.known_answer(model).read_bytes(),
    }


def _gpu_graph(bundle: Path, digest: str, tower: str, target: Target) -> dict[str, bytes]:
    if target.platform != "tensorrt_plan":
        return {graph_file(target.platform): Bundle(bundle).graph(tower, target.precision).read_bytes()}
    folder = engine_folder(target.engines, digest, "tensorrt", target.precision)
    profiles = profiles_of(bundle_shapes(bundle), target.engine.usual_batch)
    check_engine(folder, digest, target.gpu, target.precision, profiles)
    return {
        graph_file(target.platform): plan_path(folder, tower).read_bytes(),
        DESCRIPTION: (folder / DESCRIPTION).read_bytes(),
    }


def _code(bundle: Path) -> dict[str, bytes]:
    """Return the code of a bundle by path."""
    code = Bundle(bundle).code
    if not (Bundle(bundle).libraries.is_file() and (code / _READS_LISTINGS).is_file()):
        raise IntegrityError(
            "the bundle's code is not that of this version of ecclip", value=bundle, next_step="run export of its night"
        )
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in files_below(code)}
