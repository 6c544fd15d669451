"""The stages: from a snapshot to towers and embeddings, from pretrained weights or from a champion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from snapshots import write_snapshot
from tiny_training import TINY, training_workspace

from ecclip.core import ContractError
from ecclip.embed.stage import EmbedConfig, ScorePairsConfig, embed, score_pairs
from ecclip.formats.embeddings import (
    attribute_prompt,
    category_prompt,
    load_embeddings,
    load_frozen,
    load_prompts,
    read_origin,
    write_frozen,
)
from ecclip.formats.snapshot import Listings
from ecclip.formats.start import Start, write_start
from ecclip.model import build_towers, encode_images, encode_texts, load_towers
from ecclip.train.run.stage import TrainConfig, train

TRAINER = {
    "epochs": 8,
    "patience": None,
    "micro_batch_size": 12,
    "sampler": {"batch_size": 24},
    "optimizer": {"freeze": [], "tower_learning_rate": 2e-3, "projection_learning_rate": 5e-3},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with training_workspace(tmp_path_factory.mktemp("workspace"), 240) as folder:
        yield folder


@pytest.fixture(scope="module")
def trained(workspace: Path) -> Path:
    config = _config()
    train(cfg=config, snapshot=workspace / "snapshot", start=workspace / "pretrained", output=workspace / "train")
    return workspace / "train"


def _config(**changes: Any) -> TrainConfig:
    return TrainConfig.model_validate({"towers": asdict(TINY), "trainer": TRAINER, **changes})


def _champion(workspace: Path, trained: Path) -> Path:
    folder = workspace / "champion"
    if not folder.exists():
        write_start(Start(version="1", bundle="abc", towers=trained / "towers"), folder)
    return folder


def test_recall_of_held_out_products_rises_and_the_loss_falls(trained: Path) -> None:
    history = json.loads((trained / "history.json").read_text())
    assert history["start"] == "pretrained"
    assert history["loss_by_epoch"][-1] < 0.8 * history["loss_by_epoch"][0]
    for way in ("text_to_image", "image_to_text"):
        name = f"retrieval/{way}/recall@10"
        assert history["retrieval"][name] > history["retrieval_before"][name] + 0.1
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines} == set(range(history["steps"] + 1))
    assert {"train/loss", "train/logit_scale", "train/gradient_norm"} <= {line["name"] for line in lines}


def test_speed_is_told_beside_the_output_and_not_in_it(trained: Path) -> None:
    timing = [json.loads(line) for line in (trained.parent / "train.timing.jsonl").read_text().splitlines()]
    assert all(line["pairs_per_second"] > 0 for line in timing)
    inside = "".join(path.read_text() for path in trained.glob("*.json*"))
    assert "second" not in inside
    assert str(trained.parent) not in inside
    assert not (trained.parent / "train.checkpoints").exists()


def test_a_champion_is_fine_tuned(workspace: Path, trained: Path) -> None:
    start = _champion(workspace, trained)
    train(cfg=_config(), snapshot=workspace / "snapshot", start=start, output=workspace / "tuned")
    history = json.loads((workspace / "tuned" / "history.json").read_text())
    first = json.loads((trained / "history.json").read_text())
    assert history["start"] == "champion"
    assert len(history["loss_by_epoch"]) == 1
    assert history["retrieval_before"] == first["retrieval"]


@pytest.mark.parametrize("changes", [{"retrain": True}, {"towers": {**asdict(TINY), "image_size": 24}}])
def test_a_champion_is_left_when_retraining_or_when_its_towers_are_others(
    workspace: Path, trained: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    short = {**TRAINER, "epochs": 1}
    config = _config(**{"trainer": short, **changes})
    start = _champion(workspace, trained)
    train(cfg=config, snapshot=workspace / "snapshot", start=start, output=tmp_path / "train")
    assert json.loads((tmp_path / "train" / "history.json").read_text())["start"] == "pretrained"
    assert load_towers(tmp_path / "train" / "towers").cfg == config.towers.portable()


def test_every_listing_is_embedded_with_equal_bytes_each_time(workspace: Path, trained: Path, tmp_path: Path) -> None:
    snapshot = workspace / "snapshot"
    reports = [
        embed(cfg=EmbedConfig(), snapshot=snapshot, trained=trained, output=tmp_path / name) for name in ("a", "b")
    ]
    assert reports[0].digest == reports[1].digest
    chosen = json.loads((trained / "history.json").read_text())["interpolation"]["share"]
    assert float(read_origin(tmp_path / "a").start_share) == chosen
    embeddings = load_embeddings(tmp_path / "a")
    assert embeddings.listing_ids == [f"l{number:06d}" for number in range(240)]
    missing = np.isnan(embeddings.image).any(axis=1)
    assert missing.sum() == 24
    assert reports[0].written == {"image_embeddings": 216, "text_embeddings": 240, "frozen": 240, "borders": 0}
    np.testing.assert_allclose(np.linalg.norm(embeddings.image[~missing], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings.text, axis=1), 1, atol=1e-5)


def test_the_frozen_start_is_embedded_beside_and_found_again_the_night_after(
    workspace: Path, trained: Path, tmp_path: Path
) -> None:
    """What is found must be what would be computed, to the bit; what is found is changed to see that it is."""
    snapshot = workspace / "snapshot"
    nights = [tmp_path / "nights" / f"2026-11-0{number}" / "embed" for number in (1, 2)]
    embed(cfg=EmbedConfig(), snapshot=snapshot, trained=trained, output=nights[0])
    alone = load_frozen(nights[0])
    assert alone is not None
    start = build_towers(TINY)
    photos = [
        row["image"] for row in Listings(snapshot).table(["listing_id", "image"]).sort_by("listing_id").to_pylist()
    ]
    expected = encode_images(start, start.preprocessor(), photos, what="outputs")
    features = alone.embeddings.image_features
    np.testing.assert_allclose(features, expected[:, TINY.embedding_dim :], atol=1e-5)
    prompts = load_prompts(nights[0])
    assert prompts is not None
    assert not prompts.joint, "towers of the configuration are pretrained each by itself"
    labels = Listings(snapshot).table(["category", "attributes"]).to_pylist()
    asked = {category_prompt(row["category"]) for row in labels if row["category"]}
    asked |= {attribute_prompt(*pair) for row in labels for pair in row["attributes"] or ()}
    assert set(prompts.texts) == asked
    expected = encode_texts(start, start.preprocessor(), prompts.texts, what="outputs")
    np.testing.assert_allclose(prompts.features, expected[:, TINY.embedding_dim :], atol=1e-5)
    changed = alone.embeddings.text + np.float32(1)
    write_frozen(replace(alone, embeddings=replace(alone.embeddings, text=changed)), nights[0])
    embed(cfg=EmbedConfig(), snapshot=snapshot, trained=trained, output=nights[1])
    found = load_frozen(nights[1])
    assert found is not None
    np.testing.assert_array_equal(found.embeddings.image_features, features)
    np.testing.assert_array_equal(found.embeddings.text, changed)


def test_photo_and_title_of_every_listing_are_compared_by_the_champion(
    workspace: Path, trained: Path, tmp_path: Path
) -> None:
    snapshot, start = workspace / "snapshot", _champion(workspace, trained)
    score_pairs(cfg=ScorePairsConfig(), cleaned=snapshot, reference=start, output=tmp_path / "pairs")
    rows = pq.read_table(tmp_path / "pairs" / "pairs.parquet").to_pylist()
    assert len(rows) == 216, "listings without a photo have no score"
    assert [row["listing_id"] for row in rows] == sorted(row["listing_id"] for row in rows)
    embed(cfg=EmbedConfig(), snapshot=snapshot, trained=trained, output=tmp_path / "embed")
    embeddings = load_embeddings(tmp_path / "embed")
    cosines = dict(zip(embeddings.listing_ids, (embeddings.image * embeddings.text).sum(axis=1), strict=True))
    np.testing.assert_allclose(
        [row["similarity"] for row in rows], [cosines[row["listing_id"]] for row in rows], atol=1e-5
    )


def test_before_the_first_champion_no_pair_is_compared(workspace: Path, tmp_path: Path) -> None:
    write_start(Start(), tmp_path / "reference")
    paths = {"cleaned": workspace / "snapshot", "reference": tmp_path / "reference", "output": tmp_path / "pairs"}
    report = score_pairs(cfg=ScorePairsConfig(), **paths)
    assert report.written == {"pairs": 0}
    assert pq.read_table(tmp_path / "pairs" / "pairs.parquet").column_names == ["listing_id", "similarity", "agreement"]


def test_a_damaged_snapshot_is_a_contract_error_that_names_the_file(workspace: Path, tmp_path: Path) -> None:
    shard = write_snapshot(tmp_path / "snapshot", 60) / "shards" / "train-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(ContractError, match=r"train-00000\.parquet"):
        train(cfg=_config(), snapshot=tmp_path / "snapshot", start=workspace / "pretrained", output=tmp_path / "train")
    assert not (tmp_path / "train").exists()


def test_an_unknown_parameter_is_an_error_at_every_depth() -> None:
    for wrong in (
        {"epochs": 1},
        {"trainer": {"epoch": 1}},
        {"trainer": {"sampler": {"size": 1}}},
        {"towers": {"x": 1}},
    ):
        with pytest.raises(ValueError, match="validation error"):
            TrainConfig.model_validate(wrong)
