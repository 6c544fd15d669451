"""A real server sees in the rows of a dump what the snapshot made of them: the sample's third night, every listing."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from chain import run_chain
from serving_bundles import save_tiny_towers
from serving_server import embedded_server

from ecclip.bench.parity import COUNTS, NightFolders, Parity, measure, result_of
from ecclip.embed.stage import EmbedConfig, embed
from ecclip.sample import SampleConfig, generate
from ecclip.serving.export.stage import ExportConfig, export
from ecclip.tasks import EvaluateConfig, evaluate

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

SAMPLE = SampleConfig(listings=120, sellers=4, image_size=300, nights=3, processes=1)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> NightFolders:
    """The third night with towers that nobody trained: whether both sides see the same does not depend on them."""
    work = tmp_path_factory.mktemp("third")
    dump = generate(SAMPLE, work / "dumps")[-1]
    snapshot = run_chain(work / "stages", dump, clean={"boilerplate": {"phrase_listings": 8}})
    save_tiny_towers(work / "train" / "towers")
    embed(EmbedConfig(), snapshot, work / "train", work / "embed")
    evaluate(EvaluateConfig(), snapshot, work / "embed", work / "evaluate")
    stages = (work / "stages" / "land", work / "stages" / "ingest")
    export(ExportConfig(golden=4), snapshot, work / "train", work / "evaluate", *stages, work / "bundle")
    return NightFolders(snapshot, *stages, work / "embed", work / "bundle")


@pytest.fixture(scope="module")
def parity(night: NightFolders, tmp_path_factory: pytest.TempPathFactory) -> Parity:
    server = embedded_server(tmp_path_factory.mktemp("server"))
    try:
        return measure(night, server)
    finally:
        server.stop()


def test_every_listing_is_answered_alike_as_exported_and_as_published(night: NightFolders, parity: Parity) -> None:
    rows = pq.read_table(night.snapshot / "listings")
    assert parity.listings == rows.num_rows > 100
    assert parity.counts == dict.fromkeys(COUNTS, 0)
    assert parity.errors == parity.too_large == 0
    assert parity.photo_cosine_p01 > 0.9999


def test_the_comparison_has_something_to_find(night: NightFolders, parity: Parity) -> None:
    rows = pq.read_table(night.snapshot / "listings", columns=["title", "grouping_title", "image"])
    assert parity.rewritten_titles > 5
    assert parity.rewritten_photos == len(rows) - rows["image"].null_count
    assert rows["title"].to_pylist() != rows["grouping_title"].to_pylist()


def test_the_result_has_the_names_that_are_followed(parity: Parity) -> None:
    result = result_of([parity, parity], "ecclip bench parity")
    assert {name: result.headline[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0)
    assert result.headline["photo_cosine_p01"] <= 1.0001
    costs = [row for row in result.rows if row.system == "embedding and features / embedding alone"]
    assert [row.what for row in costs] == [f"time of the graph {tower}" for tower in ("image_tower", "text_tower")]
    assert all(row.n == 30 for row in costs)
    assert next(row for row in result.rows if row.system == "raw row / snapshot's row").n == 2
