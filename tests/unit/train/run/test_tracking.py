"""A tracked training: what it measures, when, what the towers see, and who sends it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from registries import MLFLOW_WARNINGS, make_workspace, mlflow_client
from snapshots import write_snapshot
from tiny_training import TINY, TRAINER, tiny_towers, tiny_trainer

from ecclip.core import settings
from ecclip.formats.start import Start, write_start
from ecclip.model import Towers
from ecclip.pipeline import DELIVER_METRICS
from ecclip.spool import DELIVERY, Spool, read_spool
from ecclip.train import Optimizer, OptimizerConfig, Progress, Trainer
from ecclip.train.data.preview import contact_sheet
from ecclip.train.run.stage import TrainConfig, train

pytestmark = pytest.mark.heavy

CFG = replace(TRAINER, epochs=3, micro_batch_size=16)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


def _weight(towers: Towers) -> dict[str, float]:
    return {"retrieval/weight": float(towers.logit_scale.detach())}


def _steps(progress: Progress, name: str) -> list[int]:
    return [step for step, of, _ in progress.metrics if of == name]


def _tracked(snapshot: Path, folder: Path, **changes: int) -> tuple[Trainer, Progress, Spool]:
    spool = Spool(folder / "metrics.jsonl")
    trainer = tiny_trainer(snapshot, folder, replace(CFG, **changes), validate=_weight, tracker=spool)  # type: ignore[arg-type]
    return trainer, trainer.run(), spool


def test_held_out_listings_are_measured_first_after_every_epoch_and_last(snapshot: Path, tmp_path: Path) -> None:
    trainer, progress, _ = _tracked(snapshot, tmp_path)
    ends = [step for step, (now, after) in enumerate(pairwise(trainer.plan), 1) if now[0] != after[0]]
    assert len(ends) == 2
    assert _steps(progress, "retrieval/weight") == [0, *ends, len(trainer.plan)]


def test_they_are_measured_every_so_many_steps_if_that_is_asked(snapshot: Path, tmp_path: Path) -> None:
    trainer, progress, _ = _tracked(snapshot, tmp_path, validate_every=4)
    total = len(trainer.plan)
    assert _steps(progress, "retrieval/weight") == [0, *range(4, total, 4), total]


def test_measuring_on_the_way_changes_no_bit_of_the_training(snapshot: Path, tmp_path: Path) -> None:
    rare, often = (_tracked(snapshot, tmp_path / str(every), validate_every=every)[0] for every in (1000, 1))
    for (name, left), right in zip(rare.towers.state_dict().items(), often.towers.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


def test_the_spool_gets_all_that_the_output_gets_and_the_speed(snapshot: Path, tmp_path: Path) -> None:
    trainer, progress, _ = _tracked(snapshot, tmp_path)
    spooled = {
        (entry.step, name): value
        for entry in read_spool(tmp_path / "metrics.jsonl")
        for name, value in entry.values.items()
    }
    kept = {(step, name): value for step, name, value in progress.metrics}
    assert kept.items() <= spooled.items()
    steps = range(1, len(trainer.plan) + 1)
    for name in ("speed/pairs_per_second", "speed/data_wait_share"):
        values = [spooled[step, name] for step in steps]
        assert min(values) >= 0
        assert (0, name) not in kept
        assert (1, name) not in kept
    of_parts = [f"{kind}_{part}" for kind in ("gradient_norm", "learning_rate") for part in ("image", "text")]
    for name in ("loss", "logit_scale", "gradient_norm", "learning_rate_projections", *of_parts):
        assert _steps(progress, f"train/{name}") == list(steps), name


def test_norms_of_the_parts_make_up_the_norm_of_the_whole() -> None:
    towers = tiny_towers()
    chance = torch.Generator().manual_seed(0)
    for parameter in towers.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=chance)
    norms = Optimizer(towers, OptimizerConfig(freeze=()), 1).norms()
    assert list(norms) == [f"train/gradient_norm_{part}" for part in ("image", "text", "projections")]
    whole = torch.cat([parameter.grad.flatten() for parameter in towers.parameters()]).double().norm()  # type: ignore[union-attr]
    assert sum(value**2 for value in norms.values()) ** 0.5 == pytest.approx(float(whole), rel=1e-4)
    projections = [towers.image_encoder.projection.weight.grad, towers.text_encoder.projection.weight.grad]
    own = sum(float((value.double() ** 2).sum()) for value in [*projections, towers.logit_scale.grad])  # type: ignore[union-attr]
    assert norms["train/gradient_norm_projections"] == pytest.approx(own**0.5, rel=1e-4)


def test_the_contact_sheet_shows_the_photos_in_their_order() -> None:
    photos = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 8, 8), dtype=np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(photos))))
    assert sheet.shape == (16, 32, 3)
    assert [int(sheet[row * 8, column * 8, 0]) for row in range(2) for column in range(4)] == [
        0,
        1,
        2,
        3,
        4,
        5,
        255,
        255,
    ]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ECCLIP_TORCH_THREADS", "1")
    token = DELIVERY.set(DELIVER_METRICS)
    yield make_workspace(tmp_path / "workspace", monkeypatch)
    DELIVERY.reset(token)
    monkeypatch.undo()
    settings.cache_clear()


def running_deliverers() -> list[psutil.Process]:
    ended = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)  # a child of another test that nobody waited for is no deliverer
    children = [child for child in psutil.Process().children() if child.status() not in ended]
    return [child for child in children if "follow" in child.cmdline()]


@pytest.mark.filterwarnings(*MLFLOW_WARNINGS)
def test_the_stage_sends_to_the_local_store_through_a_process_that_ends_with_it(
    workspace: Path, snapshot: Path
) -> None:

    start, output = workspace / "start", workspace / "work" / "train"
    write_start(Start(), start)
    trainer = {
        "epochs": 20,
        "patience": None,
        "micro_batch_size": 16,
        "sampler": {"batch_size": 16},
        "optimizer": {"freeze": []},
    }
    config = TrainConfig.model_validate({"towers": asdict(TINY), "trainer": trainer, "validation_listings": 20})
    train(cfg=config, snapshot=snapshot, start=start, output=output)
    assert running_deliverers() == []
    key = json.loads((output / "history.json").read_text())["run_key"]
    tracked = output.with_name("train.tracking") / key
    with Image.open(tracked / "sample.png") as sheet:
        assert sheet.size == (4 * 32, 4 * 32)
    texts = (tracked / "sample.txt").read_text().splitlines()
    assert len(texts) == 16
    assert all(len(line.split()) > 2 for line in texts)
    experiment = mlflow_client().get_experiment_by_name("ecclip")
    assert experiment is not None
    (run,) = mlflow_client().search_runs([experiment.experiment_id], f"tags.training_key = '{key}'")
    assert (run.info.status, run.data.params["train.trainer.epochs"]) == ("FINISHED", "20")
    assert len(mlflow_client().get_metric_history(run.info.run_id, "train/loss")) == 100
    assert "system/resident_megabytes" in run.data.metrics
