"""Training that begins from a known model, and goes on from its champion the night after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joint_models import clip_folder, siglip_folder
from tiny_training import training_workspace

from ecclip.embed.stage import EmbedConfig, embed
from ecclip.formats.embeddings import load_embeddings
from ecclip.formats.start import Start, write_start
from ecclip.model import load_towers
from ecclip.train.run.stage import TrainConfig, train


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with training_workspace(tmp_path_factory.mktemp("workspace"), 120) as folder:
        yield folder


def _trained(workspace: Path, model: Path, name: str, start: str, **trainer: Any) -> dict[str, Any]:
    chosen = {"epochs": 1, "sampler": {"batch_size": 24}, "workers": 0, "weight_interpolation": 0.0, **trainer}
    cfg = TrainConfig.model_validate({"towers": {"start": f"path:{model}"}, "trainer": chosen})
    train(cfg=cfg, snapshot=workspace / "snapshot", start=workspace / start, output=workspace / name / "train")
    history: dict[str, Any] = json.loads((workspace / name / "train" / "history.json").read_text())
    return history


def test_siglip_trains_on_by_its_own_loss_and_the_next_night_goes_on_from_it(workspace: Path) -> None:
    model = siglip_folder(workspace / "siglip_model")
    assert (
        _trained(workspace, workspace / "siglip_model", "first", "pretrained", loss="sigmoid")["start"] == "pretrained"
    )
    towers = load_towers(workspace / "first" / "train" / "towers")
    assert towers.logit_bias is not None
    assert float(towers.logit_bias.detach()) != float(model.logit_bias.detach())
    assert float(towers.logit_scale.detach()) > np.log(105), "no limit of CLIP's cuts its temperature"
    write_start(
        Start(version="1", bundle="abc", towers=workspace / "first" / "train" / "towers"), workspace / "champion"
    )
    history = _trained(workspace, workspace / "siglip_model", "second", "champion", loss="sigmoid")
    assert history["start"] == "champion"
    embed(EmbedConfig(), workspace / "snapshot", workspace / "second" / "train", workspace / "second" / "embed")
    found = load_embeddings(workspace / "second" / "embed")
    np.testing.assert_allclose(np.linalg.norm(found.text, axis=1), 1.0, atol=1e-5)


def test_clip_trains_on_in_micro_batches_with_activations_computed_again(workspace: Path) -> None:
    original = clip_folder(workspace / "clip_model")
    saving = {"micro_batch_size": 5, "gradient_checkpointing": True, "optimizer": {"layer_decay": 0.6}}
    history = _trained(workspace, workspace / "clip_model", "clip", "pretrained", **saving)
    assert history["skipped_steps"] == 0
    assert np.isfinite(history["loss_by_epoch"]).all()
    towers = load_towers(workspace / "clip" / "train" / "towers")
    assert towers.logit_bias is None
    before = original.vision_model.encoder.layers[1].mlp.fc1.weight.detach()
    assert not np.allclose(towers.image_encoder.tower.blocks[1].mlp.fc1.weight.detach(), before, atol=1e-7)
