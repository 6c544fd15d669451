"""A step that runs out of memory is tried again in smaller micro-batches, and a resumed run remembers them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from snapshots import write_snapshot
from tiny_training import TRAINER, preempt_at, random_batch, tiny_towers, tiny_trainer
from training_faults import limit_memory, process_of_little_memory, run_child

from ecclip.train import CheckpointStore, OutOfMemoryError, Preempted, Trainer, accumulate_gradients

pytestmark = pytest.mark.heavy

CFG = replace(TRAINER, epochs=2, micro_batch_size=16, checkpoint_every=100)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


def _grow_after(trainer: Trainer, step: int) -> None:
    """Have pairs need so much memory from a step on that only four fit."""
    compute = trainer._gradients

    def computed(progress: object, *rest: object) -> object:
        if progress.step == step + 1:  # type: ignore[attr-defined]
            limit_memory(trainer.towers, 4)
        return compute(progress, *rest)  # type: ignore[arg-type]

    trainer._gradients = computed  # type: ignore[method-assign, assignment]


def _silent(*_: object, **__: object) -> None: ...


def test_the_new_limit_is_logged_counted_and_kept(snapshot: Path, tmp_path: Path) -> None:
    events = []
    trainer = tiny_trainer(snapshot, tmp_path, CFG, log=lambda event, **values: events.append((event, values)))
    _grow_after(trainer, 3)
    progress = trainer.run()
    told = [values for event, values in events if event.startswith("out of memory")]
    assert [(values["step"], values["micro_batch_size"]) for values in told] == [(4, 8), (4, 4)]
    counted = [(step, value) for step, name, value in progress.metrics if name == "train/out_of_memory"]
    assert counted == [(4, 1.0), (4, 1.0)]
    assert progress.micro_batch_size == 4
    kept = CheckpointStore(tmp_path / "steps", 2, _silent).newest()
    assert kept is not None
    assert kept.step == 4, "the smaller limit is written down at once"
    assert kept.state["micro_batch_size"] == 4


def test_a_resumed_run_gives_equal_bits(snapshot: Path, tmp_path: Path) -> None:
    whole = tiny_trainer(snapshot, tmp_path / "whole", CFG, log=_silent)
    _grow_after(whole, 3)
    whole.run()
    stopped = tiny_trainer(snapshot, tmp_path / "stopped", CFG, log=_silent)
    _grow_after(stopped, 3)
    preempt_at(stopped, 6)
    with pytest.raises(Preempted):
        stopped.run()
    resumed = tiny_trainer(snapshot, tmp_path / "stopped", CFG, log=_silent)  # with all the memory that there is
    resumed.run()
    pairs = zip(whole.towers.parameters(), resumed.towers.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_pair_too_large_for_the_memory_ends_the_training_with_a_clear_error(snapshot: Path, tmp_path: Path) -> None:
    trainer = tiny_trainer(snapshot, tmp_path, CFG, log=_silent)
    limit_memory(trainer.towers, 0)
    with pytest.raises(OutOfMemoryError, match=r"not even one pair.*next: use smaller towers"):
        trainer.run()


def test_a_process_with_little_address_space_halves_its_streams_until_they_fit(tmp_path: Path) -> None:
    assert run_child(process_of_little_memory, tmp_path) == 0
    found = json.loads((tmp_path / "result.json").read_text())
    towers = tiny_towers()
    loss = accumulate_gradients(towers, random_batch(16), micro_batch_size=16, labels="soft", seed=(0, 1))
    assert found["halves"], "the whole batch fitted"
    assert found["halves"][-1] >= 1
    assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
