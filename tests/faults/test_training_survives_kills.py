"""A training that is killed anywhere ends with the bits of one that was not."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from snapshots import write_snapshot
from tiny_training import TOWERS
from training_faults import DISK_FULL_EXIT_CODE, run_child, stage_process, training_process

from ecclip.formats.start import Start, write_start
from ecclip.train import PREEMPTED_EXIT_CODE

pytestmark = pytest.mark.heavy

KILLED = -signal.SIGKILL
# checkpoints after steps 4, 8 and 12; three writes a checkpoint, counted in each process again
CHAINS = {
    0: ["step 0", "step 3", "write 1", "write 2", "write 3", "rename", "step 5", "step 7", "write 1", "step 11"],
    2: ["step 1", "write 3", "step 6", "write 5", "rename", "step 12"],
    4: ["step 2", "write 2", "step 4", "write 6", "step 9"],
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


@pytest.fixture(scope="module")
def undisturbed(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run_child(training_process, snapshot, folder, "", 0) == 0
    return folder


def _result(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())


def _order(folder: Path) -> list[str]:
    """Return what every step saw, in the order of the steps; a repeated step must have seen the same."""
    seen: dict[str, str] = {}
    for line in (folder / "order.txt").read_text().splitlines():
        step, _, what = line.partition(" ")
        assert seen.setdefault(step, what) == what
    return list(seen.values())


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    "workers", [worker if worker == 2 else pytest.param(worker, marks=pytest.mark.slow) for worker in CHAINS]
)
def test_killed_again_and_again_ends_with_equal_weights_losses_and_order(
    snapshot: Path, undisturbed: Path, tmp_path: Path, workers: int
) -> None:
    for fault in CHAINS[workers]:
        assert run_child(training_process, snapshot, tmp_path, fault, workers) == KILLED, fault
    assert run_child(training_process, snapshot, tmp_path, "", workers) == 0
    assert _result(tmp_path) == _result(undisturbed)
    assert _order(tmp_path) == _order(undisturbed)
    assert len(_order(tmp_path)) > 12
    assert "training resumes {'step': 8" in (tmp_path / "log.txt").read_text()
    assert [path.name for path in sorted((tmp_path / "steps").iterdir())] == ["step-00000008", "step-00000012"]


@pytest.mark.fault(10)
@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        "manifest missing",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("bit flipped", "state missing")),
    ],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    snapshot: Path, undisturbed: Path, tmp_path: Path, damage: str
) -> None:
    assert run_child(training_process, snapshot, tmp_path, "step 10", 0) == KILLED
    newest = tmp_path / "steps" / "step-00000008"
    tensors = newest / "tensors.safetensors"
    content = bytearray(tensors.read_bytes())
    if damage == "truncated":
        tensors.write_bytes(content[: len(content) // 2])
    elif damage == "bit flipped":
        content[-1000] ^= 4
        tensors.write_bytes(content)
    else:
        (newest / damage.replace(" missing", ".json")).unlink()
    assert run_child(training_process, snapshot, tmp_path, "", 0) == 0
    log = (tmp_path / "log.txt").read_text()
    assert "a checkpoint is damaged" in log
    assert "step-00000008" in log
    assert "training resumes {'step': 4" in log
    assert _result(tmp_path) == _result(undisturbed)


@pytest.mark.fault(11)
def test_a_full_disk_is_a_clean_error_and_training_goes_on_when_there_is_room(
    snapshot: Path, undisturbed: Path, tmp_path: Path
) -> None:
    assert run_child(training_process, snapshot, tmp_path, "disk", 0) == DISK_FULL_EXIT_CODE
    error = (tmp_path / "error.txt").read_text()
    assert "step-00000008" in error
    assert "make room and run the same command again" in error
    assert [path.name for path in (tmp_path / "steps").iterdir()] == ["step-00000004"]
    assert run_child(training_process, snapshot, tmp_path, "", 0) == 0
    assert "training resumes {'step': 4" in (tmp_path / "log.txt").read_text()
    assert _result(tmp_path) == _result(undisturbed)


@pytest.mark.fault(12)
def test_sigterm_writes_a_checkpoint_even_when_it_comes_twice(
    snapshot: Path, undisturbed: Path, tmp_path: Path
) -> None:
    assert run_child(training_process, snapshot, tmp_path, "terminate 5", 2) == PREEMPTED_EXIT_CODE == 143
    assert (tmp_path / "steps" / "step-00000006" / "manifest.json").is_file()
    assert run_child(training_process, snapshot, tmp_path, "", 0) == 0
    assert "training resumes {'step': 6" in (tmp_path / "log.txt").read_text()
    assert _result(tmp_path) == _result(undisturbed)


@pytest.mark.fault(9)
def test_a_killed_stage_publishes_nothing_and_the_next_call_publishes_equal_bytes(
    snapshot: Path, tmp_path: Path
) -> None:
    start = tmp_path / "start"
    write_start(Start(), start)
    config = {
        "towers": TOWERS,
        "trainer": {
            "epochs": 2,
            "patience": None,
            "checkpoint_every": 3,
            "micro_batch_size": 8,
            "sampler": {"batch_size": 16},
            "optimizer": {"freeze": []},
        },
    }
    whole, killed = tmp_path / "whole" / "train", tmp_path / "killed" / "train"
    others = killed.parent / "train.checkpoints" / "of-other-inputs" / "steps" / "step-00000009"
    others.mkdir(parents=True)
    assert run_child(stage_process, snapshot, start, whole, config, None) == 0
    assert run_child(stage_process, snapshot, start, killed, config, 5) == KILLED
    assert not killed.exists()
    assert not others.exists()
    assert len(list((killed.parent / "train.checkpoints").glob("*/steps/step-*"))) == 1
    assert run_child(stage_process, snapshot, start, killed, config, None) == 0
    names = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file())
    assert names == [
        "history.json",
        "manifest.json",
        "metrics.jsonl",
        "towers/tokenizer.json",
        "towers/towers.json",
        "towers/towers.safetensors",
    ]
    assert all((whole / name).read_bytes() == (killed / name).read_bytes() for name in names)
    assert not (killed.parent / "train.checkpoints").exists()
