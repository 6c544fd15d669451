"""Trained networks are mixed with what they started from, by the share that is asked for or that measures best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from snapshots import write_snapshot
from tiny_training import TRAINER, preempt_at, tiny_towers, tiny_trainer

from ecclip.errors import ConfigError, Preempted
from ecclip.model import Towers
from ecclip.train import Trainer, TrainerConfig

ONE_EPOCH = replace(TRAINER, epochs=1)
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 40)


@pytest.fixture(scope="module")
def start() -> State:
    return tiny_towers().state_dict()


@pytest.fixture(scope="module")
def trained(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> State:
    trainer = tiny_trainer(snapshot, tmp_path_factory.mktemp("plain"), replace(ONE_EPOCH, weight_interpolation=0.0))
    trainer.run()
    return trainer.towers.state_dict()


def is_mixed(found: State, trained: State, start: State, share: float) -> bool:
    """Return whether networks lie between, and projections where training left them."""
    return all(
        torch.allclose(
            found[name],
            torch.lerp(tensor, start[name], share) if ".tower." in name and tensor.is_floating_point() else tensor,
            atol=1e-6,
        )
        for name, tensor in trained.items()
    )


def test_networks_end_between_start_and_training_and_projections_where_training_left_them(
    snapshot: Path, trained: State, start: State, tmp_path: Path
) -> None:
    trainer = tiny_trainer(snapshot, tmp_path, replace(ONE_EPOCH, weight_interpolation=0.25))
    trainer.run()
    found = trainer.towers.state_dict()
    assert is_mixed(found, trained, start, 0.25)
    assert not is_mixed(found, trained, start, 0.3)
    assert sum(not torch.equal(trained[name], tensor) for name, tensor in found.items()) > 10


def near(goal: State) -> Callable[[Towers], dict[str, float]]:
    """Return a probe that wants the weights of ``goal``."""
    return lambda towers: {"a": -float((towers.state_dict()[NAME] - goal[NAME]).norm()), "b": 0.0}


NAME = "text_encoder.tower.encoder.layer.1.output.dense.weight"


@pytest.mark.parametrize(("wanted", "share"), [("start", 1.0), ("trained", 0.0), ("nothing", 0.5)])
def test_the_share_is_the_one_that_measures_best(
    snapshot: Path, trained: State, start: State, tmp_path: Path, wanted: str, share: float
) -> None:
    """A probe without a measure leaves the middle, whatever the shares are."""
    probe = {"start": near(start), "trained": near(trained), "nothing": lambda _: {}}[wanted]
    cfg = replace(ONE_EPOCH, interpolation_shares=(0.3, 0.0, 1.0))
    trainer = tiny_trainer(snapshot, tmp_path, cfg, probe=probe)
    progress = trainer.run()
    assert is_mixed(trainer.towers.state_dict(), trained, start, share)
    found = {name: value for step, name, value in progress.metrics if name.startswith("interpolation/")}
    assert found["interpolation/share"] == share
    assert len(found) == (1 if wanted == "nothing" else 4)


@pytest.mark.parametrize("shares", [(), (0.5, 1.5)])
def test_shares_outside_the_range_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="interpolation_shares"):
        TrainerConfig(interpolation_shares=shares)


def weights_after_each_step(trainer: Trainer) -> list[State]:
    """Return a list that fills with copies of the weights while ``trainer`` runs."""
    seen: list[State] = []
    step = trainer.optimizer.step

    def stepped(*arguments: float) -> None:
        step(*arguments)  # type: ignore[arg-type]
        seen.append({name: tensor.detach().clone() for name, tensor in trainer.optimizer.parameters.items()})

    trainer.optimizer.step = stepped  # type: ignore[method-assign]
    return seen


def test_an_average_of_the_weights_takes_their_place_and_survives_a_stop(
    snapshot: Path, start: State, tmp_path: Path
) -> None:
    cfg = replace(TRAINER, epochs=2, weight_interpolation=0.0, average_decay=0.6)
    trainer = tiny_trainer(snapshot, tmp_path / "whole", cfg)
    seen = weights_after_each_step(trainer)
    trainer.run()
    expected = {name: start[name] for name in seen[0]}
    for number, weights in enumerate(seen, start=1):
        decay = min(0.6, (1 + number) / (10 + number))
        expected = {name: decay * tensor + (1 - decay) * weights[name] for name, tensor in expected.items()}
    whole = trainer.towers.state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(whole[name], tensor, rtol=1e-4, atol=1e-6)
    stopped = tiny_trainer(snapshot, tmp_path / "stopped", replace(cfg, checkpoint_every=1))
    preempt_at(stopped, 1)
    with pytest.raises(Preempted):
        stopped.run()
    again = tiny_trainer(snapshot, tmp_path / "stopped", replace(cfg, checkpoint_every=1))
    again.run()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in again.towers.state_dict().items())
