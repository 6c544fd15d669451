"""A step that is not finite never reaches the weights or a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from snapshots import write_snapshot
from tiny_training import TRAINER, tiny_towers, tiny_trainer
from torch import Tensor, nn

from ecclip.model import Towers
from ecclip.train import DivergedError, PairsError

CFG = replace(TRAINER, epochs=2, micro_batch_size=16, checkpoint_every=2, max_skipped=2)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


def _spoil(towers: Towers, bad: Callable[[int], bool], value: float) -> None:
    """Make the image embeddings of some training steps something that is not finite."""
    calls = []

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        calls.append(0)
        return output * value if bad(len(calls) - 1) else output

    towers.image_encoder.register_forward_hook(hook)


@pytest.mark.fault(13)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_spoiled_step_is_skipped_counted_and_told(snapshot: Path, tmp_path: Path, value: float) -> None:
    towers, events = tiny_towers(), []
    _spoil(towers, lambda call: call in (1, 4), value)
    trainer = tiny_trainer(
        snapshot, tmp_path, CFG, towers=towers, log=lambda event, **values: events.append((event, values))
    )
    progress = trainer.run()
    assert progress.skipped == 2
    assert [step for step, name, _ in progress.metrics if name == "train/skipped"] == [2, 5]
    assert [values["step"] for event, values in events if "not finite" in event] == [2, 5]
    losses = [loss for _, name, loss in progress.metrics if name == "train/loss"]
    assert len(losses) == len(trainer.plan) - 2
    assert np.isfinite(losses).all()
    assert all(parameter.isfinite().all() for parameter in towers.parameters())


@pytest.mark.fault(13)
def test_training_stops_after_too_many_and_every_checkpoint_is_finite(snapshot: Path, tmp_path: Path) -> None:
    towers = tiny_towers()
    _spoil(towers, lambda call: call >= 3, float("nan"))
    trainer = tiny_trainer(snapshot, tmp_path, CFG, towers=towers, log=lambda *_, **__: None)
    with pytest.raises(DivergedError, match=r"value: 3; limit: 2"):
        trainer.run()
    saved = sorted((tmp_path / "steps").glob("step-*"))
    assert saved
    for folder in saved:
        assert all(tensor.isfinite().all() for tensor in load_file(folder / "tensors.safetensors").values())


@pytest.mark.fault(13)
def test_a_snapshot_of_one_product_is_refused_before_the_first_step(snapshot: Path, tmp_path: Path) -> None:
    trainer = tiny_trainer(snapshot, tmp_path / "one")
    trainer.pairs.groups[:] = 0
    with pytest.raises(PairsError, match="of 1 groups"):
        trainer._plan()


def test_what_training_changes_in_its_process_is_put_back(snapshot: Path, tmp_path: Path) -> None:
    import signal

    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    tiny_trainer(snapshot, tmp_path, replace(CFG, epochs=1)).run()
    after = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    assert after == before
