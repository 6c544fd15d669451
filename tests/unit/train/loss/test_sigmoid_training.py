"""Training by the sigmoid loss: the bias is learnt, checkpointed, saved and loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from snapshots import write_snapshot
from tiny_training import TRAINER, tiny_towers, tiny_trainer

from ecclip.model import Towers, load_towers, save_towers
from ecclip.train import CheckpointStore

CFG = replace(TRAINER, loss="sigmoid", epochs=6, checkpoint_every=10)


def _silent(*_: object, **__: object) -> None: ...


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Towers, list[float]]:
    folder = tmp_path_factory.mktemp("sigmoid")
    trainer = tiny_trainer(write_snapshot(folder / "snapshot", 140), folder, CFG, log=_silent)
    progress = trainer.run()
    return folder, trainer.towers, [value for _, name, value in progress.metrics if name == "train/loss"]


def test_the_loss_falls_and_scale_and_bias_move(trained: tuple[Path, Towers, list[float]]) -> None:
    _, towers, losses = trained
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert towers.logit_bias is not None
    assert towers.logit_bias.item() != -10.0
    assert towers.logit_scale.exp().item() != pytest.approx(10.0, abs=1e-4)


def test_checkpoint_and_saved_towers_have_the_bias(trained: tuple[Path, Towers, list[float]]) -> None:
    folder, towers, _ = trained
    checkpoint = CheckpointStore(folder / "steps", 2, _silent).newest()
    assert checkpoint is not None
    assert {"towers.logit_bias", "optimizer.logit_bias.exp_avg"} <= set(checkpoint.tensors)
    save_towers(towers, folder / "towers")
    loaded = load_towers(folder / "towers")
    assert loaded.logit_bias is not None
    assert torch.equal(loaded.logit_bias, towers.logit_bias)
    loaded.add_logit_bias()
    assert torch.equal(loaded.logit_bias, towers.logit_bias), "what was learnt is kept"
    assert torch.equal(loaded.logit_scale, towers.logit_scale)


def test_towers_of_the_softmax_loss_have_none(tmp_path: Path) -> None:
    towers = tiny_towers()
    assert "logit_bias" not in towers.state_dict()
    save_towers(towers, tmp_path)
    assert load_towers(tmp_path).logit_bias is None
