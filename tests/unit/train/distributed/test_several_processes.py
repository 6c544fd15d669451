"""Several processes give the gradients and see the batches of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from snapshots import write_snapshot
from tiny_training import TRAINER, random_batch, tiny_towers, tiny_trainer
from training_faults import gradients_process, run_children

from ecclip.train import PairsError, ProcessesError, Progress, accumulate_gradients
from ecclip.train.distributed.processes import _buckets
from ecclip.train.distributed.world import SINGLE_PROCESS, World

pytestmark = pytest.mark.heavy

SEED = (5, 0, 3)
PAIRS = 13


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    assert run_children(gradients_process, *[(folder, rank, 2, PAIRS, SEED, CASES) for rank in range(2)]) == [0, 0]
    return folder


# 13 pairs in two processes are 6 and 7: micro-batches of 3 end where those of one process end only in the first.
CASES: dict[str, dict[str, Any]] = {
    f"{loss} {labels} {size}": {"loss": loss, "labels": labels, "micro_batch_size": size, "train": False}
    for loss in ("softmax", "sigmoid")
    for labels in ("soft_within", "soft", "mask", "hard")
    for size in (2, 5, 13)
}
CASES["one micro-batch each, with dropout"] = {
    "loss": "softmax",
    "labels": "soft",
    "micro_batch_size": 7,
    "train": True,
}


@pytest.mark.fault(15)
@pytest.mark.parametrize("name", list(CASES))
def test_two_processes_give_the_gradients_of_one(several: Path, name: str) -> None:
    case = dict(CASES[name])
    towers, batch = tiny_towers(), random_batch(PAIRS)
    if case["loss"] == "sigmoid":
        towers.add_logit_bias()
    towers.double().train(case.pop("train"))
    if towers.training:
        expected = _one_process_with_the_streams_of_two(towers)
    else:
        loss = accumulate_gradients(towers, batch, seed=SEED, **case)
        expected = {"loss": loss, **{name: parameter.grad for name, parameter in towers.named_parameters()}}
    for rank in range(2):
        found = torch.load(several / f"{rank}.pt")[name]
        assert set(found) == set(expected)
        for parameter, gradient in expected.items():
            torch.testing.assert_close(found[parameter], gradient, atol=1e-10, rtol=0, msg=parameter)


def _one_process_with_the_streams_of_two(towers: Any) -> dict[str, Any]:
    """Take the gradients of the whole batch alone, in micro-batches of 6 and 7 rows."""
    from ecclip.train.engine import accumulation

    class SixAndSeven(accumulation.Budget):
        def micro_batches(self, _lengths: Any) -> list[slice]:
            return [slice(0, 6), slice(6, 13)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accumulation, "Budget", SixAndSeven)
        loss = accumulate_gradients(towers, random_batch(PAIRS), micro_batch_size=7, labels="soft", seed=SEED)
    return {"loss": loss, **{name: parameter.grad for name, parameter in towers.named_parameters()}}


class _Part(World):
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16])
def test_the_rows_of_all_processes_are_the_batch_in_order(size: int) -> None:
    for total in (16, 17, 31):
        parts = [np.arange(total)[_Part(rank, size).rows(total)] for rank in range(size)]
        assert np.concatenate(parts).tolist() == list(range(total))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert SINGLE_PROCESS.rows(7) == slice(0, 7)


@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_processes_sees_the_same_batches_in_the_same_order(
    snapshot: Path, tmp_path: Path, size: int
) -> None:
    cfg = replace(TRAINER, epochs=2)
    whole = [batch.pixels for batch in tiny_trainer(snapshot, tmp_path / "one", cfg)._batches(Progress())]
    parts = [
        [
            batch.pixels
            for batch in tiny_trainer(snapshot, tmp_path / str(rank), cfg, world=_Part(rank, size))._batches(Progress())
        ]
        for rank in range(size)
    ]
    assert len(whole) > 8
    assert all(torch.equal(torch.cat(own), all_rows) for *own, all_rows in zip(*parts, whole, strict=True))


def test_fewer_pairs_in_a_batch_than_processes_is_an_error(snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(ProcessesError, match="value: 16; limit: 17"):
        tiny_trainer(snapshot, tmp_path, world=_Part(0, 17))
    assert not issubclass(ProcessesError, PairsError)


def test_buckets_keep_order_and_format_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecclip.train.distributed.processes._BUCKET_BYTES", 40)
    gradients = [torch.zeros(4), torch.zeros(6), torch.zeros(1), torch.zeros(2).double(), torch.zeros(99)]
    assert [[part.numel() for part in bucket] for bucket in _buckets(gradients)] == [[4, 6], [1], [2], [99]]
    assert list(_buckets([])) == []
