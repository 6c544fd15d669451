"""The loss scale of float16 falls at an overflow, rises after good steps, and goes on where a checkpoint left it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from snapshots import write_snapshot
from tiny_training import TRAINER, preempt_at, tiny_towers, tiny_trainer
from torch import Tensor

from ecclip.train import DivergedError, Preempted
from ecclip.train.engine.loss_scale import INITIAL_LOSS_SCALE, next_loss_scale

pytestmark = pytest.mark.heavy

CFG = replace(TRAINER, epochs=2, precision="float16", checkpoint_every=3)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


def _silent(*_: object, **__: object) -> None: ...


def test_it_follows_torchs_own_scaler() -> None:
    chance = torch.Generator().manual_seed(0)
    scaler = torch.amp.GradScaler("cpu", init_scale=INITIAL_LOSS_SCALE)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    scale, good = INITIAL_LOSS_SCALE, 0
    for _ in range(5000):
        finite = bool(torch.rand((), generator=chance) > 1e-3)
        scaler.scale(parameter.sum() * (1.0 if finite else torch.inf)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        scale, good = next_loss_scale(scale, good, finite)
        assert scale == scaler.get_scale()


def test_it_never_falls_below_one() -> None:
    assert next_loss_scale(1.0, 7, False) == (1.0, 0)


def _overflow_above(limit: float, towers: torch.nn.Module) -> None:
    """Have the gradient of the image embeddings overflow where it is scaled by more than ``limit``."""
    weight = towers.image_encoder.projection.weight

    def spoil(gradient: Tensor) -> Tensor:
        return torch.full_like(gradient, torch.inf) if spoil.scale > limit else gradient  # type: ignore[attr-defined]

    spoil.scale = 0.0  # type: ignore[attr-defined]
    weight.register_hook(spoil)
    towers.spoil = spoil


def _watch_scale(trainer: object) -> None:
    step = trainer._step  # type: ignore[attr-defined]

    def watched(progress: object, *arguments: object) -> None:
        trainer.towers.spoil.scale = progress.loss_scale  # type: ignore[attr-defined]
        step(progress, *arguments)

    trainer._step = watched  # type: ignore[attr-defined]


def test_overflows_lower_the_scale_and_are_no_skipped_steps(snapshot: Path, tmp_path: Path) -> None:
    towers = tiny_towers()
    _overflow_above(2.0**8, towers)
    trainer = tiny_trainer(snapshot, tmp_path, replace(CFG, max_skipped=0), towers=towers, log=_silent)
    _watch_scale(trainer)
    progress = trainer.run()
    overflows = [(step, value) for step, name, value in progress.metrics if name == "train/loss_scale"]
    assert overflows == [(number + 1, 2.0 ** (16 - number)) for number in range(8)]
    assert progress.skipped == 0
    assert progress.loss_scale == 2.0**8
    assert progress.steps_since_overflow == len(trainer.plan) - 8
    assert all(parameter.isfinite().all() for parameter in towers.parameters())


def test_what_overflows_at_any_scale_stops_the_training(snapshot: Path, tmp_path: Path) -> None:
    towers = tiny_towers()
    _overflow_above(0.5, towers)
    trainer = tiny_trainer(snapshot, tmp_path, replace(CFG, epochs=6, max_skipped=1), towers=towers, log=_silent)
    _watch_scale(trainer)
    with pytest.raises(DivergedError, match="value: 2; limit: 1"):
        trainer.run()


def test_a_resumed_training_in_float16_has_equal_bits(snapshot: Path, tmp_path: Path) -> None:
    whole = tiny_trainer(snapshot, tmp_path / "whole", CFG, log=_silent)
    expected = whole.run()
    stopped = tiny_trainer(snapshot, tmp_path / "stopped", CFG, log=_silent)
    preempt_at(stopped, 5)
    with pytest.raises(Preempted):
        stopped.run()
    resumed = tiny_trainer(snapshot, tmp_path / "stopped", CFG, log=_silent)
    found = resumed.run()
    assert (found.loss_scale, found.steps_since_overflow) == (expected.loss_scale, expected.steps_since_overflow)
    pairs = zip(whole.towers.parameters(), resumed.towers.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
