"""Training stops where validation has not improved for as many times as it was told, killed in between or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from snapshots import write_snapshot
from tiny_training import TRAINER, preempt_at, tiny_trainer

from ecclip.errors import Preempted
from ecclip.model import Towers
from ecclip.train import Progress

CFG = replace(TRAINER, epochs=6, validate_every=1, checkpoint_every=1, patience=2, weight_interpolation=0.0)
SCORES = (0.1, 0.3, 0.5, 0.4, 0.5, 0.9, 0.9)  # before the first step, after each; two in a row without a gain: 0.4, 0.5


class Scripted:
    """A validation whose values are known."""

    def __init__(self, seen: int = 0) -> None:
        self._values: Iterator[float] = iter(SCORES[seen:])

    def __call__(self, _: Towers) -> dict[str, float]:
        return {"retrieval/recall": next(self._values, 0.0)}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 60)


def steps(progress: Progress) -> int:
    return max(step for step, name, _ in progress.metrics if name == "train/loss")


def test_it_stops_after_the_second_validation_without_a_gain(snapshot: Path, tmp_path: Path) -> None:
    trainer = tiny_trainer(snapshot, tmp_path / "whole", CFG, validate=Scripted())
    progress = trainer.run()
    assert steps(progress) == progress.step == 4 < len(trainer.plan)
    patient = tiny_trainer(snapshot, tmp_path / "patient", replace(CFG, patience=None), validate=Scripted())
    assert steps(patient.run()) == len(patient.plan)


@pytest.mark.parametrize("number", [3])
def test_a_training_that_was_stopped_on_the_way_ends_where_the_other_does(
    snapshot: Path, tmp_path: Path, number: int
) -> None:
    whole = tiny_trainer(snapshot, tmp_path / "whole", CFG, validate=Scripted())
    whole.run()
    stopped = tiny_trainer(snapshot, tmp_path / "stopped", CFG, validate=Scripted())
    preempt_at(stopped, number)
    with pytest.raises(Preempted):
        stopped.run()
    again = tiny_trainer(snapshot, tmp_path / "stopped", CFG, validate=Scripted(seen=number))
    assert steps(again.run()) == 4
    for name, tensor in again.towers.state_dict().items():
        assert torch.equal(tensor, whole.towers.state_dict()[name]), name
