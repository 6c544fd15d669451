"""The default towers, with their pretrained weights: near float32 in half precision, and built in every precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rtx import rtx_python
from serving_bundles import sealed
from torch.nn import functional

from ecclip.core import settings
from ecclip.formats.bundle import Bundle
from ecclip.model import TowersConfig, build_towers
from ecclip.serving import EngineConfig, build_engines
from ecclip.serving.engine.described import read_engine_description
from ecclip.serving.export.graph_modules import tower_graphs
from ecclip.serving.export.onnx_graphs import export_graph
from ecclip.serving.export.stage import ExportConfig

pytestmark = pytest.mark.slow

TITLES = ["red leather tote bag", "와인 한 병", "Röd väska No.5 – 100% läder, SALE!!", "a b c", "ceramic mug 500ml"]
PRECISIONS = ("float32", "float16", "bfloat16")


def test_the_default_towers_build_in_every_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    towers = build_towers(TowersConfig()).float()
    cfg = towers.cfg
    bundle = Bundle(tmp_path / "bundle")
    bundle.write_description({name: getattr(cfg, name) for name in ("embedding_dim", "image_size", "max_tokens")})
    pixels = np.random.default_rng(0).integers(0, 256, (len(TITLES), 3, cfg.image_size, cfg.image_size), np.uint8)
    examples = {
        "image_tower": (torch.from_numpy(pixels),),
        "text_tower": tuple(map(torch.from_numpy, towers.preprocessor().tokens(TITLES))),
    }
    plain = _write(bundle, towers, "float32", examples)
    for name, (_, features) in plain.items():
        bundle.known_answer(name).parent.mkdir(exist_ok=True)
        np.savez(bundle.known_answer(name), features=features.numpy())
    for precision in PRECISIONS[1:]:
        least = getattr(ExportConfig(), precision).cosine
        for name, outputs in _write(bundle, towers, precision, examples).items():
            for half, full in zip(outputs, plain[name], strict=True):
                assert float(functional.cosine_similarity(half, full).min()) >= least, (precision, name)
    sealed(bundle.folder)
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("ECCLIP_TENSORRT_PYTHON", str(rtx_python()))
    settings.cache_clear()
    for precision in PRECISIONS:
        report = build_engines(bundle.folder, EngineConfig(precision=precision), "rtx", "8.9")
        assert set(read_engine_description(tmp_path / report.output).plans) == set(examples)


def _write(bundle: Bundle, towers: Any, precision: Any, examples: dict[str, Any]) -> dict[str, Any]:
    """Export both towers in a precision; return what torch answers to the examples."""
    answers = {}
    for (name, inputs), graph in zip(examples.items(), tower_graphs(towers, precision), strict=True):
        with torch.inference_mode():
            answers[name] = graph(*inputs)
        export_graph(name, graph, inputs, bundle.graph(name, precision))
    return answers
