"""A text graph answers what it answers to padded texts, whatever lengths come together, and without their padding."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from serving_bundles import tiny_bundle

from ecclip.formats.bundle import Bundle
from ecclip.serving import Repository


@pytest.fixture(scope="module")
def runs_graphs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Load the module as it lies beside a text tower that a server loads."""
    repository = Repository(tmp_path_factory.mktemp("repository"))
    repository.stage(tiny_bundle(0), 1)
    path = repository.folder / "text_tower" / "1" / "onnx_graph.py"
    spec = importlib.util.spec_from_file_location("staged_onnx_graph", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _texts(lengths: list[int], width: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)
    return {"ids": random.integers(1, 50, mask.shape) * mask, "mask": mask}


def _padded(path: Path, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, feed), strict=True))


@pytest.mark.parametrize("lengths", [[5], [16], [3, 3], [9, 1, 16, 2, 7, 7, 12, 4, 1]])
def test_answers_are_those_of_padded_texts_in_their_order(runs_graphs: Any, lengths: list[int]) -> None:
    path = Bundle(tiny_bundle(0)).graph("text_tower")
    feed = _texts(lengths, 16)
    found, expected = runs_graphs.Graph(path, 1).run(feed), _padded(path, feed)
    assert set(found) == set(expected) == {"embedding", "features"}
    for name, rows in expected.items():
        np.testing.assert_allclose(found[name], rows, atol=1e-5)


def test_a_text_has_no_more_padding_than_those_of_its_length_need(
    runs_graphs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = runs_graphs.Graph(Bundle(tiny_bundle(0)).graph("text_tower"), 1)
    shapes: list[tuple[int, ...]] = []
    run = graph._run
    monkeypatch.setattr(graph, "_run", lambda feed, names: shapes.append(feed["ids"].shape) or run(feed, names))
    graph.run(_texts([16, 2, 3, 16, 2, 4], 16))
    assert shapes == [(runs_graphs.TEXTS_AT_ONCE, 4), (2, 16)]


def test_only_the_outputs_that_are_asked_for_are_computed(runs_graphs: Any) -> None:
    graph = runs_graphs.Graph(Bundle(tiny_bundle(0)).graph("text_tower"), 1)
    assert set(graph.run(_texts([4, 9], 16), ["features"])) == {"features"}


def test_a_graph_of_a_fixed_number_of_tokens_gets_them_all(runs_graphs: Any, tmp_path: Path) -> None:
    """Bundles were exported so once, and may be the version that is rolled back to."""
    import onnx

    path = Bundle(tiny_bundle(0)).graph("text_tower")
    model = onnx.load(path)
    for one in model.graph.input:
        one.type.tensor_type.shape.dim[1].ClearField("dim_param")
        one.type.tensor_type.shape.dim[1].dim_value = 16
    onnx.save(model, tmp_path / "fixed.onnx")
    feed = _texts([2, 11], 16)
    found = runs_graphs.Graph(tmp_path / "fixed.onnx", 1).run(feed)
    np.testing.assert_allclose(found["embedding"], _padded(path, feed)["embedding"], atol=1e-5)
