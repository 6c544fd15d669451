"""Brand recognition of docs/examples becomes a sixth task: one file and one line, from labels to answers.

Its heads read the embedding and the towers' own features, as all heads do by default; those of category the features
alone, those of age restriction the embedding. An attribute that no spec teaches has its options from a file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from serving_bundles import save_tiny_towers
from serving_server import live_server
from snapshots import write_snapshot

from ecclip.client import Product, ProductClient
from ecclip.core import ConfigError, ContractError, write_atomic
from ecclip.embed.stage import EmbedConfig, embed
from ecclip.formats.embeddings import load_embeddings
from ecclip.model import encode_images, load_preprocessor, load_towers
from ecclip.product_input import DEFINITION
from ecclip.serving.export.stage import ExportConfig, export
from ecclip.tasks import EvaluateConfig, check_claims, evaluate, load_heads
from ecclip.tasks.kinds import TASKS, Task, gate_defaults

EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "brand.py"
CFG = EvaluateConfig(bootstrap_rounds=20, heads={"features": {"category": "towers", "age_restricted": "embedding"}})
GIVEN = """\
version: 1
attributes:
  grip:
    options: {handle: with a handle, strap: {names: {ko: 끈}}}
"""
BRANDS = {"Arvo", "Bellmoor", "Cintra", "Dorwin"}  # of the snapshots of these tests


@pytest.fixture(scope="module")
def brand() -> Iterator[Task]:
    """Put the example on the list, as its page says."""
    spec = importlib.util.spec_from_file_location("brand_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    TASKS.append(module.TASK)
    yield module.TASK
    TASKS.remove(module.TASK)
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    snapshot = write_snapshot(folder / "2026-01-01", listings=200, landed=folder / "land")
    described = json.loads((snapshot / DEFINITION).read_text())
    assert described["unicode"] == unicodedata.unidata_version
    write_atomic(snapshot / DEFINITION, json.dumps(described | {"unicode": "3.2.0"}))  # cleaned by an old Python
    return snapshot


@pytest.fixture(scope="module")
def folder(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with random towers and what embed makes of them, and of the shop's policies."""
    folder = tmp_path_factory.mktemp("six")
    save_tiny_towers(folder / "train" / "towers")
    write_atomic(folder / "policies" / "mine.yaml", GIVEN)
    embed(EmbedConfig(attribute_options="mine.yaml"), snapshot, folder / "train", folder / "embed", folder / "policies")
    return folder


@pytest.fixture(scope="module")
def bundle(brand: Task, snapshot: Path, folder: Path) -> Path:
    """Return what evaluate and export make of six tasks."""
    evaluate(CFG, snapshot, folder / "embed", folder / "evaluate")
    landed = snapshot.parent / "land"  # holds what ingest leaves as well
    parts = {"snapshot": snapshot, "trained": folder / "train", "evaluated": folder / "evaluate"}
    export(ExportConfig(golden=4), **parts, landed=landed, ingested=landed, output=folder / "bundle")
    return folder / "bundle"


def test_it_is_judged_like_the_others_and_its_claims_are_counted_again(bundle: Path) -> None:
    report: dict[str, Any] = json.loads((bundle / "report.json").read_text())
    for modality in ("image", "text", "both"):
        assert {f"brand/{modality}/{name}" for name in ("accuracy", "macro_f1", "ece")} <= set(report["metrics"])
    counted = [name for name in report["metrics"] if name.startswith("brand/") and "ece_before" not in name]
    others = [name for name in report["metrics"] if name.startswith(("category", "attribute", "age_restricted"))]
    assert check_claims(bundle) == len(counted) + len([name for name in others if "ece_before" not in name])
    page = (bundle / "report.html").read_text()
    assert "<h2>Brand</h2>" in page
    assert "Brand · macro F1 over brands" in page


def test_the_gate_asks_what_the_task_asks(brand: Task) -> None:
    assert gate_defaults()["brand/both/accuracy"] == brand.gate["both/accuracy"]


def test_a_real_server_answers_it_as_often_rightly_as_the_report_says(
    bundle: Path, snapshot: Path, tmp_path: Path
) -> None:
    rows = pq.read_table(snapshot / "listings", columns=["title", "brand", "split"]).to_pylist()
    asked = [row for row in rows if row["split"] == "test" and row["brand"]]
    with live_server(tmp_path, bundle=bundle) as (server, deployment), ProductClient(deployment.address) as client:
        assert "cleaned by Unicode 3.2.0, this server has Unicode" in server.log.read_text(errors="replace")
        answers = client.ask([Product(title=row["title"], description="tasks may read it") for row in asked])
        korean = client.ask([Product(title=row["title"], language="ko") for row in asked])
    assert {answer.error for answer in answers} == {""}
    said = [answer.other_tasks["brand"] for answer in answers]
    assert {one["value"] for one in said} <= BRANDS
    assert all(0.25 <= one["score"] <= 1 for one in said)
    assert all(answer.decisions["brand"] in ("auto", "review") for answer in answers)
    right = np.mean([one["value"] == row["brand"] for one, row in zip(said, asked, strict=True)])
    grips = [answer.attributes["grip"] for answer in answers]
    assert {one["value"] for one in grips} == {"handle", "strap"}
    assert all(one["zero_shot"] for one in grips)
    assert {answer.decisions["attribute:grip"] for answer in answers} == {"review"}
    named = {"handle": "handle", "strap": "끈"}
    assert [one.attributes["grip"]["value"] for one in korean] == [named[one["value"] or ""] for one in grips]
    claimed = json.loads((bundle / "report.json").read_text())["metrics"]["brand/text/accuracy"]
    assert right == pytest.approx(claimed, abs=1.5 / len(asked))


def test_without_labels_it_is_unknown(brand: Task) -> None:
    assert brand.answer([], None, 5) == {"OTHER_TASKS": {"brand": {"value": None, "score": None}}}  # type: ignore[arg-type]


def test_embed_keeps_the_features_of_the_same_pass(folder: Path, snapshot: Path, tmp_path: Path) -> None:
    embed(EmbedConfig(features=False), snapshot, folder / "train", tmp_path / "plain")
    kept, plain = load_embeddings(folder / "embed"), load_embeddings(tmp_path / "plain")
    assert plain.image_features is plain.text_features is None
    np.testing.assert_allclose(kept.image, plain.image, atol=1e-6)
    np.testing.assert_allclose(kept.text, plain.text, atol=1e-6)
    towers, preprocessor = load_towers(folder / "train" / "towers"), load_preprocessor(folder / "train" / "towers")
    table = pq.read_table(snapshot / "listings", columns=["listing_id", "image"]).sort_by("listing_id")
    photos = table.column("image").to_pylist()
    expected = encode_images(towers, preprocessor, photos, what="features")
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(kept.image_features, expected, atol=1e-5)  # NaN equals NaN: listings without a photo


def test_a_head_reads_what_its_task_chose_and_nothing_else(bundle: Path) -> None:
    heads = load_heads(bundle / "heads")
    image, text = heads.widths
    assert heads.read_features
    part = {
        "image": np.arange(image), "text": image + np.arange(text), "both": np.arange(image + text),
    }  # fmt: skip
    is_embedding = np.isin(np.arange(image + text), [*range(heads.dim), *range(image, image + heads.dim)])
    for head in (one for one in heads.parts if one.name not in heads.zero_shot):
        for index, modality in enumerate(("image", "text", "both")):
            used = np.abs(heads.weight[index, :, head.start : head.stop]).sum(axis=1) > 0
            read = {"category": ~is_embedding, "age_restricted": is_embedding}.get(
                head.task, np.ones_like(is_embedding)
            )
            wanted = np.isin(np.arange(image + text), part[modality]) & read
            assert not (used & ~wanted).any(), (head.name, modality)
            if modality != "both":  # where the photo may weigh nothing
                assert (used == wanted).mean() > 0.9, (
                    head.name,
                    modality,
                )  # a feature of random towers may be constant


def test_features_that_nobody_kept_and_tasks_that_nobody_knows_are_refused(
    folder: Path, snapshot: Path, tmp_path: Path
) -> None:
    embed(EmbedConfig(features=False), snapshot, folder / "train", tmp_path / "plain")
    with pytest.raises(ContractError, match=r"embed\.features"):
        evaluate(
            EvaluateConfig(heads={"features": {"category": "towers"}}),
            snapshot,
            tmp_path / "plain",
            tmp_path / "evaluate",
        )
    with pytest.raises(ConfigError, match="colour"):
        evaluate(
            EvaluateConfig(heads={"features": {"colour": "towers"}}), snapshot, folder / "embed", tmp_path / "evaluate"
        )
