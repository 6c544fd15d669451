"""The stage ``export``: towers, heads, graphs and golden listings of a night become one bundle."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

import ecclip
from ecclip.core import Counts, StageConfig, canonical_json, stage, write_atomic
from ecclip.formats.bundle import EVIDENCE, HEADS, REPORT, REPORT_PAGE, TOWERS, Bundle, HalfPrecision
from ecclip.product_input import DEFINITION, read_canonical
from ecclip.serving import golden
from ecclip.serving.export.half_precision import HalfTolerance, export_half
from ecclip.serving.export.inprocess import MODALITY_ORDER, InProcess
from ecclip.serving.export.onnx_graphs import GRAPHS, OPSET, check_graph, export_graph
from ecclip.serving.export.parts import check_embeddings, check_parts
from ecclip.serving.export.shipped_code import ship_code

if TYPE_CHECKING:
    import torch

_KNOWN_TITLE = "Röd väska 빨간 가죽 가방 No.5 – 100% läder, SALE!!"


class TolerancesConfig(StageConfig):
    """How far the server may be from torch: by judgment, above the rounding of another processor's kernels."""

    embedding: float = Field(1e-4, gt=0, description="largest difference of an element of an embedding")
    score: float = Field(1e-3, gt=0, description="largest difference of a probability")


class ExportConfig(StageConfig):
    """What a bundle holds besides the weights."""

    golden: int = Field(
        16,
        ge=2,
        le=256,
        description="golden listings; by judgment: five for each modality and one with a broken photo",
    )
    top_k: int = Field(5, ge=1, le=50, description="categories in an answer; 5 as in top-5 accuracy")
    tolerances: TolerancesConfig = Field(TolerancesConfig(), description="how far the server may be from torch")
    precisions: list[HalfPrecision] = Field(
        [], description="half precisions of the towers' graphs, in addition to float32, for servers with a GPU"
    )
    float16: HalfTolerance = Field(
        HalfTolerance(cosine=0.9995, score=0.02, decisions=0.1),
        description="how far float16 may be from float32 on the golden listings, by judgment",
    )
    bfloat16: HalfTolerance = Field(
        HalfTolerance(cosine=0.995, score=0.1, decisions=0.25),
        description="how far bfloat16 may be from float32 on the golden listings, by judgment",
    )


@stage
def export(
    cfg: ExportConfig,
    snapshot: Path,
    trained: Path,
    evaluated: Path,
    landed: Path,
    ingested: Path,
    output: Path,
) -> Counts:
    """Write the bundle of a night; ``landed`` and ``ingested`` hold the photos of its golden listings.

    Raises:
        ContractError: the parts do not belong together, the heads do not have the report's metrics, a graph differs
            from torch, or the snapshot has no usable golden listing.
        IntegrityError: a file of a part is not what its manifest says, or a photo of the snapshot has not landed.
    """
    import torch

    from ecclip.tasks import check_claims, read_evidence

    parts = check_parts(snapshot, trained, evaluated)
    claims = check_claims(evaluated)
    torch.set_num_threads(1)  # one listing at a time: more threads would only wait for each other
    bundle = Bundle(output)
    for name, source in ((TOWERS, trained), (HEADS, evaluated)):
        shutil.copytree(source / name, output / name)
    for name in (REPORT, REPORT_PAGE, EVIDENCE):
        shutil.copyfile(evaluated / name, output / name)
    ship_code(bundle.code)
    shutil.copyfile(snapshot / DEFINITION, output / DEFINITION)
    twin = InProcess(bundle.towers, bundle.heads, cfg.top_k, read_canonical(snapshot))
    check_embeddings(snapshot, read_evidence(output), twin)
    graphs = _examples(twin)
    bounds = {name: _write_graph(name, module, feed, bundle, cfg) for name, (module, feed) in graphs.items()}
    write_atomic(bundle.known_question, canonical_json(_known_product(twin)))
    questions = golden.choose(snapshot, landed, ingested, twin, cfg.golden)
    golden.write_golden(questions, bundle.golden)
    feeds = {name: tuple(feed.values()) for name, (_, feed) in graphs.items() if name != "heads"}
    halves = {
        name: export_half(name, twin, feeds, questions, bundle, getattr(cfg, name))
        for name in dict.fromkeys(cfg.precisions)
    }
    lineage = parts | {"git_commit": git_commit(), "night": snapshot.resolve().name}
    bundle.write_description(_description(cfg, twin, lineage, bounds, bundle) | {"precisions": halves})
    kinds = [one.kind for one in questions]
    return Counts(
        read={"golden_candidates": 4 * cfg.golden, "claims": claims},
        written={"graphs": len(bounds) + len(feeds) * len(halves), "golden": len(questions)}
        | {f"golden_{kind}": kinds.count(kind) for kind in kinds},
        detail={"onnx_max_difference": bounds, "precisions": halves, "lineage": lineage},
    )


def git_commit() -> str:
    """Return the commit of the code (``-dirty`` with uncommitted changes), or ``unknown`` outside git."""
    package = Path(ecclip.__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=package, capture_output=True, text=True, check=True, timeout=30
        ).stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        # the package alone: files that the run itself rewrites must not change the bundle
        changes = git("status", "--porcelain", "--untracked-files=no", "--", str(package))
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit}-dirty" if changes.strip() else commit


def _examples(twin: InProcess) -> dict[str, tuple[torch.nn.Module, dict[str, torch.Tensor]]]:
    """Return for every graph its module and an input of five rows, drawn from a fixed seed."""
    import torch

    from ecclip.serving.export.graph_modules import heads_graph, tower_graphs

    draw = torch.Generator().manual_seed(0)
    side = twin.towers.photo_size
    pixels = torch.randint(0, 256, (5, 3, side, side), generator=draw, dtype=torch.uint8)
    titles = [_KNOWN_TITLE, "", "mug", "a b c", "와인 한 병"]
    ids, mask = (torch.from_numpy(one) for one in twin.preprocessor.tokens(titles))
    image, text = (
        torch.nn.functional.normalize(torch.randn(5, width, generator=draw), dim=-1) for width in twin.heads.widths
    )
    modality = torch.arange(5) % len(MODALITY_ORDER)
    feeds = ((pixels,), (ids, mask), (image, text, modality))
    modules = (*tower_graphs(twin.towers), heads_graph(twin))
    return {
        name: (module, dict(zip(GRAPHS[name][0], feed, strict=True)))
        for name, module, feed in zip(GRAPHS, modules, feeds, strict=True)
    }


def _write_graph(
    name: str, module: torch.nn.Module, feed: dict[str, torch.Tensor], bundle: Bundle, cfg: ExportConfig
) -> float:
    import torch

    path = bundle.graph(name)
    export_graph(name, module, tuple(feed.values()), path)
    with torch.inference_mode():
        answer = module(*feed.values())
    given = answer if isinstance(answer, tuple) else (answer,)
    expected = {output: one.numpy() for output, one in zip(GRAPHS[name][1], given, strict=True)}
    arrays: dict[str, Any] = {key: value.numpy() for key, value in feed.items()}
    limit = cfg.tolerances.embedding if name != "heads" else cfg.tolerances.score
    # a single row, too: shows whether the batch size became a constant of the graph
    bound = max(check_graph(name, path, _first(arrays, rows), _first(expected, rows), limit) for rows in (1, 5))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **expected)
    write_atomic(bundle.known_answer(name), buffer.getvalue())
    return bound


def _first(arrays: dict[str, Any], rows: int) -> dict[str, Any]:
    return {name: values[:rows] for name, values in arrays.items()}


def _known_product(twin: InProcess) -> dict[str, Any]:
    """Return the known-answer test of the entry model: a request with its pixels, tokens and decision."""
    from PIL import Image

    side = np.arange(3 * 451 * 611, dtype=np.uint32).reshape(451, 611, 3)
    buffer = io.BytesIO()
    Image.fromarray((side * side // 97 % 256).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    ids, mask = twin.preprocessor.title(_KNOWN_TITLE)
    logits = np.linspace(-3.0, 4.0, twin.decider.columns).astype(np.float32)
    answer = json.loads(json.dumps(twin.decider.answer(logits, "both")))
    pixels = twin.preprocessor.image(buffer.getvalue())
    return {
        "image": base64.b64encode(buffer.getvalue()).decode(),
        "title": _KNOWN_TITLE,
        "pixels": hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest(),
        "ids": ids.tolist(),
        "mask": mask.tolist(),
        "logits": logits.tolist(),
        "modality": "both",
        "answer": answer,
    }


def _description(
    cfg: ExportConfig, twin: InProcess, lineage: dict[str, str], bounds: dict[str, float], bundle: Bundle
) -> dict[str, Any]:
    towers = twin.towers.cfg
    return {
        "embedding_dim": towers.embedding_dim,
        "image_size": twin.towers.photo_size,
        "max_tokens": towers.max_tokens,
        "reading": asdict(twin.towers.design.reading),
        "top_k": cfg.top_k,
        "labels": {head.name: head.labels for head in twin.heads.parts},
        "lineage": lineage,
        "metrics": bundle.report().metrics,
        "onnx": {"opset": OPSET, "max_difference_to_torch": bounds},
        "tolerance": {"embedding": cfg.tolerances.embedding, "score": cfg.tolerances.score},
    }
