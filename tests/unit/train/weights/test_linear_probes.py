"""Linear probes on held-out listings see what towers know, and decide what is kept of a training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import Ridge
from snapshots import change_listings, write_snapshot
from tiny_training import TINY, tiny_towers

from ecclip.core import settings
from ecclip.formats.start import Start, write_start
from ecclip.model import build_towers, encode_texts, load_towers
from ecclip.train.run.stage import TrainConfig, train
from ecclip.train.weights.probe import Probe, labelled

LISTINGS = 240


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"WORKSPACE": str(folder), "TORCH_THREADS": "1", "TRACKING": "false"}.items():
            patch.setenv(f"ECCLIP_{name}", value)
        settings.cache_clear()
        write_snapshot(folder / "snapshot", LISTINGS)
        write_start(Start(), folder / "pretrained")
        yield folder
    settings.cache_clear()


def measured(snapshot: Path, most: int = 1000) -> dict[str, float]:
    return Probe(lambda: labelled(snapshot, most), 1)(tiny_towers())


def test_it_measures_category_and_attributes_of_both_modalities_and_retrieval(workspace: Path) -> None:
    found = measured(workspace / "snapshot")
    assert found == measured(workspace / "snapshot")
    labels = {"category", "attribute:color", "attribute:material"}
    assert {*found} == {f"{label}/{one}" for label in labels for one in ("image", "text")} | {"retrieval"}
    assert all(value <= 1 for value in found.values())
    assert found["attribute:color/image"] > 0.3
    assert found["category/text"] > 0.3


def test_the_share_of_variance_is_that_of_scikit_learns_ridge(workspace: Path) -> None:
    train, held = labelled(workspace / "snapshot", 1000)
    towers = tiny_towers()
    sets = [[one for one in rows if "category" in one.labels] for rows in (train, held)]
    x, other = (
        encode_texts(towers, towers.preprocessor(), [one.title for one in rows], what="outputs") for rows in sets
    )
    classes = sorted({one.labels["category"] for one in sets[0]})
    y, wanted = (np.eye(len(classes))[[classes.index(one.labels["category"]) for one in rows]] for rows in sets)
    centred = x - x.mean(axis=0)
    unit = np.square(centred).sum() / len(x)
    errors = [
        np.square(Ridge(alpha=penalty * unit).fit(x, y).predict(other) - wanted).sum() for penalty in (0.01, 0.1, 1, 10)
    ]
    expected = 1 - min(errors) / np.square(wanted - y.mean(axis=0)).sum()
    assert measured(workspace / "snapshot")["category/text"] == pytest.approx(expected, abs=0.01)


def test_labels_that_mean_nothing_explain_nothing(tmp_path: Path) -> None:
    snapshot = write_snapshot(tmp_path / "snapshot", LISTINGS)
    chance = np.random.default_rng(0)
    change_listings(snapshot, lambda row: row.update(category=[f"c{chance.integers(4)}"], attributes=[]))
    found = measured(snapshot)
    assert {*found} == {"category/image", "category/text", "retrieval"}
    assert max(found["category/image"], found["category/text"]) < 0.15


@pytest.mark.parametrize("split", ["train", "validation"])
def test_without_listings_to_learn_from_or_to_measure_on_it_says_nothing(tmp_path: Path, split: str) -> None:
    snapshot = write_snapshot(tmp_path / "snapshot", 60)
    change_listings(snapshot, lambda row: row.update(split="test") if row["split"] == split else None)
    assert measured(snapshot) == {}
    assert measured(snapshot, 0) == {}


def test_the_sample_is_that_of_the_smallest_hashes_of_either_split(workspace: Path) -> None:
    train, held = labelled(workspace / "snapshot", 20)
    rows = pq.read_table(workspace / "snapshot" / "listings", columns=["split", "image"]).to_pylist()
    photos = {split: {row["image"] for row in rows if row["split"] == split} for split in ("train", "validation")}
    assert 15 <= len(train) <= 20
    assert 7 <= len(held) <= 10
    assert {one.photo for one in train} <= photos["train"]
    assert {one.photo for one in held} <= photos["validation"]


@pytest.mark.parametrize(("rate", "shares"), [(1.0, {1.0}), (2e-3, {0.0, 0.5})])
def test_a_training_that_does_harm_leaves_the_networks_as_they_were(
    workspace: Path, tmp_path: Path, rate: float, shares: set[float]
) -> None:
    trainer: dict[str, Any] = {
        "epochs": 4,
        "patience": None,
        "sampler": {"batch_size": 24},
        "interpolation_shares": [0.5, 0.0, 1.0],
        "optimizer": {"freeze": [], "tower_learning_rate": rate, "projection_learning_rate": 5e-3},
    }
    cfg = TrainConfig.model_validate({"towers": asdict(TINY), "trainer": trainer})
    train(cfg=cfg, snapshot=workspace / "snapshot", start=workspace / "pretrained", output=tmp_path / "train")
    history = json.loads((tmp_path / "train" / "history.json").read_text())
    assert history["interpolation"]["share"] in shares
    assert {*history["interpolation"]} == {"share", "score_at_0.0", "score_at_0.5", "score_at_1.0"}
    start, found = build_towers(TINY).state_dict(), load_towers(tmp_path / "train" / "towers").state_dict()
    kept = [torch.equal(found[name], tensor) for name, tensor in start.items() if ".tower." in name]
    assert all(kept) == (1.0 in shares)
