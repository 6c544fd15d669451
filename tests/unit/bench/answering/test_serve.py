"""The benchmark of the service: its peers answer what the service answers, and its figures say what they are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serving_bundles import shared_sources, tiny_bundle
from serving_server import embedded_server

from ecclip.bench import Result, ResultError, new_result
from ecclip.bench.answering.onnx_bundle import OnnxBundle
from ecclip.bench.answering.overload import Question, generate, recovery
from ecclip.bench.answering.scene import Scene, products_of, serving
from ecclip.bench.answering.sizes import SIZES
from ecclip.bench.serve import entered_peak, merged, newest_nights, under_load
from ecclip.client import Answer, Product
from ecclip.core import ConfigError, digest_of
from ecclip.formats.bundle import lineage_of
from ecclip.serving.export.inprocess import InProcess

TINY = replace(SIZES["quick"], concurrency=(1, 4), warm_s=0.05, measured_s=0.3, calls=60)


@pytest.fixture(scope="module")
def products() -> list[Product]:
    sources = shared_sources(0)
    return products_of(sources["snapshot"], sources["landed"], sources["ingested"], count=8)


def test_the_peers_answer_as_the_export_does_alone_and_in_a_batch(products: list[Product]) -> None:
    twin = InProcess(tiny_bundle(0) / "towers", tiny_bundle(0) / "heads", 5)
    assert len(products) == 8
    assert all(one.image and one.title for one in products)
    for outputs, product in zip(OnnxBundle(tiny_bundle(0)).ask(products), products, strict=True):
        answer, known = Answer.from_outputs(outputs), twin.ask(product)
        assert (answer.categories[0], answer.decisions) == (known.categories[0], known.decisions)
        np.testing.assert_allclose(answer.embedding, known.embedding, atol=1e-4)


def test_recovery_is_the_first_of_some_answers_that_come_as_before() -> None:
    slow, refused = Question(10.0, 12.0, "a"), Question(12.0, 12.1, "!overloaded")
    good = [Question(13.0 + place, 13.5 + place, "a") for place in range(5)]
    assert recovery(10.0, [slow, refused, *good], 0.6) == pytest.approx(3.5)
    assert recovery(10.0, [slow, *good[:3], refused, *good[3:]], 0.6) is None


def test_a_part_that_is_measured_alone_joins_the_others_of_its_commit_only() -> None:
    whole = new_result("ecclip bench serve")
    whole.add("listings", "ecclip", "1/s", [1.0])
    whole.add("alias", "ecclip", "s", [9.0])
    whole.head(ratio=1.0, alias_to_answer_seconds=9.0)
    part = new_result("ecclip bench serve --only alias")
    part.add("alias", "ecclip", "s", [3.0])
    part.head(alias_to_answer_seconds=3.0)
    both = merged(whole, part)
    assert [(row.what, row.value) for row in both.rows] == [("listings", 1.0), ("alias", 3.0)]
    assert both.headline == {"ratio": 1.0, "alias_to_answer_seconds": 3.0}
    assert both.command == "ecclip bench serve; ecclip bench serve --only alias"
    with pytest.raises(ResultError, match="another commit"):
        merged(replace(whole, commit="0" * 40), part)


def test_an_overload_takes_the_rate_that_a_run_before_it_measured() -> None:
    result = new_result("ecclip bench serve --only throughput")
    assert entered_peak(result) is None
    for clients, system, rate in ((4, "ecclip", 80.0), (16, "ecclip", 100.0), (16, "FastAPI with onnxruntime", 120.0)):
        result.add(f"listings answered, {clients} clients", system, "1/s", [rate])
    assert entered_peak(result) == 100.0


def test_without_two_nights_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two nights"):
        newest_nights(tmp_path)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, products: list[Product]) -> Iterator[Scene]:
    server = embedded_server(tmp_path_factory.mktemp("scene"))
    with serving(server, (tiny_bundle(0), tiny_bundle(1)), products) as scene:
        yield scene


@pytest.mark.slow
def test_every_part_measures_a_real_server(scene: Scene) -> None:
    result: Result = new_result("ecclip bench serve --quick")
    under_load(result, scene, TINY, ("throughput", "leaks", "deployments"))
    assert {"ratio_onnxruntime_c4", "ratio_fastapi_c1", "ratio_fastapi_c4", "rollback_seconds"} <= set(result.headline)
    assert result.headline["hot_deploy_failed_requests"] == 0
    rates = [row for row in result.rows if row.what.startswith("listings answered, ")]
    assert len(rates) == 2 * 3 + 1
    assert all(row.value > 0 for row in rates)


@pytest.mark.slow
def test_the_generator_tells_answers_by_their_lineage(scene: Scene) -> None:
    live = lineage_of(digest_of(tiny_bundle(0)))
    fates = generate(scene.load(kind="open", rate=50.0, seconds=0.4, after_s=0.2))
    assert len(fates.questions) == 20
    assert {one.outcome for one in [*fates.questions, *fates.alone]} == {live}
