"""The export stage: graphs that answer as torch does, golden listings, the same bytes every time."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from serving_bundles import export_tiny, tiny_bundle

from ecclip.core import ContractError, digest_of
from ecclip.formats.bundle import Bundle
from ecclip.model import load_preprocessor, load_towers
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.export.inprocess import InProcess
from ecclip.serving.export.onnx_graphs import check_graph, run_graph
from ecclip.serving.export.stage import git_commit
from ecclip.serving.golden import read_golden
from ecclip.tasks import load_heads

EXACT = Tolerance(score=1e-6, embedding=1e-6)


def test_exporting_again_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    assert digest_of(export_tiny(tmp_path, 0)) == digest_of(tiny_bundle(0))


def test_the_commit_is_that_of_the_checkout() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", git_commit())


def test_graphs_carry_nothing_of_this_machine() -> None:
    here = [str(Path.home()).encode(), b"site-packages", b"/tmp", str(Path(__file__).parents[4]).encode()]
    for path in (tiny_bundle(0) / "onnx").glob("*.onnx"):
        data = path.read_bytes()
        assert [text for text in here if text in data and len(text) > 1] == [], path.name


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_graphs_answer_as_torch_does_for_any_batch(rows: int) -> None:
    bundle = tiny_bundle(0)
    towers, heads = load_towers(bundle / "towers"), load_heads(bundle / "heads")
    preprocessor = load_preprocessor(bundle / "towers")
    chance = np.random.default_rng(rows)
    pixels = chance.integers(0, 256, (rows, 3, 64, 64), dtype=np.uint8)
    ids, mask = preprocessor.tokens([f"red mug {number}" * (number + 1) for number in range(rows)])
    with torch.inference_mode():
        image = towers.encode_image(torch.from_numpy(pixels)).numpy()
        text = towers.encode_text(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        features = towers.image_encoder.features(torch.from_numpy(pixels)).numpy()
    graphs = bundle / "onnx"
    of_image = run_graph(graphs / "image_tower.onnx", {"pixels": pixels})
    of_text = run_graph(graphs / "text_tower.onnx", {"ids": ids, "mask": mask})
    np.testing.assert_allclose(of_image["embedding"], image, atol=1e-5)
    np.testing.assert_allclose(of_text["embedding"], text, atol=1e-5)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(of_image["features"], features / length, atol=1e-5)
    assert of_text["features"].shape == (rows, towers.text_encoder.projection.in_features)
    for index, modality in enumerate(("image", "text", "both")):
        feed = {"image_embedding": image, "text_embedding": text, "modality": np.full(rows, index)}
        expected = heads.logits(image, text, modality)
        np.testing.assert_allclose(run_graph(graphs / "heads.onnx", feed)["logits"], expected, atol=1e-4)


def test_a_graph_that_differs_from_torch_is_refused() -> None:
    path = tiny_bundle(0) / "onnx" / "image_tower.onnx"
    pixels = np.zeros((2, 3, 64, 64), np.uint8)
    answer = run_graph(path, {"pixels": pixels})
    assert check_graph("image_tower", path, {"pixels": pixels}, answer, 1e-4) <= 1e-6
    for output in answer:
        for wrong in (answer[output] + 1e-3, answer[output] * np.nan):
            with pytest.raises(ContractError, match="differs from torch"):
                check_graph("image_tower", path, {"pixels": pixels}, answer | {output: wrong}, 1e-4)


def test_golden_listings_cover_every_kind_and_hold_in_process() -> None:
    bundle = tiny_bundle(0)
    golden = read_golden(Bundle(bundle).golden)
    assert len(golden) == 10
    assert {one.kind for one in golden} == {"both", "image", "title", "broken"}
    described = [one.product.description for one in golden if one.product.description]
    assert len(described) >= 3
    assert all(re.fullmatch(r"<p>A .+\.</p>", text) for text in described)  # as it was written
    assert {one.product.description for one in golden if one.kind == "image"} == {None}
    twin = InProcess(bundle / "towers", bundle / "heads", 5)
    assert compare(golden, [twin.ask(one.product) for one in golden], EXACT).reasons == []
    broken = next(one for one in golden if one.kind == "broken")
    assert broken.answer.error


def test_unknown_equals_unknown_and_nothing_else() -> None:
    golden = next(one for one in read_golden(Bundle(tiny_bundle(0)).golden) if one.kind == "title")
    assert (golden.answer.age_restricted, golden.answer.decisions["age_restricted"]) == (None, "unknown")
    assert compare([golden], [golden.answer], EXACT).reasons == []
    for score in (0.0, 1.0, float("nan")):
        assert len(compare([golden], [replace(golden.answer, age_restricted=score)], EXACT).reasons) == 1
    photo = next(one for one in read_golden(Bundle(tiny_bundle(0)).golden) if one.kind == "image")
    assert photo.answer.attributes["color"] == {"value": None, "score": None}
    assert compare([photo], [photo.answer], EXACT).reasons == []


def test_the_bundle_says_what_it_is_and_where_it_comes_from() -> None:
    described = json.loads((tiny_bundle(0) / "bundle.json").read_text())
    assert described["schema"] == "ecclip.bundle/4"
    assert described["labels"]["attribute:color"][0] is None
    assert described["lineage"]["night"] == "2026-01-01"
    parts = {"snapshot", "train", "towers", "embed", "evaluate"}
    assert set(described["lineage"]) == {*parts, "git_commit", "night"}
    assert described["metrics"] == json.loads((tiny_bundle(0) / "report.json").read_text())["metrics"]
