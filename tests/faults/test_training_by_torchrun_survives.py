"""The stage train in several processes started by torchrun: killed or terminated, it leaves nothing behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from snapshots import write_snapshot
from tiny_training import TOWERS
from training_faults import exit_code, stage_process, start_child
from waiting import lives, wait_ended, wait_until

from ecclip.formats.start import Start, write_start
from ecclip.train import PREEMPTED_EXIT_CODE

pytestmark = pytest.mark.heavy

PROCESSES = {"ECCLIP_TRAIN_PROCESSES": "2", "ECCLIP_TRAIN_TIMEOUT_S": "300"}
CONFIG = {
    "towers": TOWERS,
    "trainer": {
        "epochs": 12,
        "patience": None,
        "checkpoint_every": 10,
        "micro_batch_size": 3,
        "workers": 0,
        "sampler": {"batch_size": 16},
        "optimizer": {"freeze": []},
    },
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


@pytest.fixture(scope="module")
def undisturbed(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert exit_code(_start(snapshot, folder)) == 0
    assert not (folder / "train.checkpoints").exists()
    return _published(folder)


def _start(snapshot: Path, folder: Path) -> Any:
    start = folder / "start"
    write_start(Start(), start)
    return start_child(stage_process, snapshot, start, folder / "train", CONFIG, None, PROCESSES)


def _published(folder: Path) -> dict[str, bytes]:
    files = [path for path in (folder / "train").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("train.checkpoints/*/steps/step-*"))


def _family(process: Any) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _workers(process: Any) -> list[psutil.Process]:
    return [child for child in _family(process) if "ecclip.train.distributed.worker" in child.cmdline()[1:4]]


@pytest.mark.slow
@pytest.mark.fault(14)
def test_a_killed_worker_ends_the_stage_with_an_error_and_the_next_call_publishes_equal_bytes(
    snapshot: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    stage = _start(snapshot, tmp_path)
    wait_until(lambda: _checkpoints(tmp_path), "a checkpoint")
    family = _family(stage)
    _workers(stage)[1].kill()
    assert exit_code(stage) == 1
    assert not (tmp_path / "train").exists()
    assert [process for process in family if lives(process)] == []
    assert exit_code(_start(snapshot, tmp_path)) == 0
    assert _published(tmp_path) == undisturbed


@pytest.mark.fault(9)
@pytest.mark.fault(35)
def test_a_killed_stage_takes_its_workers_with_it(snapshot: Path, tmp_path: Path) -> None:
    stage = _start(snapshot, tmp_path)
    wait_until(lambda: _checkpoints(tmp_path), "a checkpoint")
    family = _family(stage)
    assert len(family) == 3, "torchrun and two workers"
    stage.kill()
    assert exit_code(stage) == -signal.SIGKILL
    wait_ended(family, "torchrun and its workers")
    assert not (tmp_path / "train").exists()


@pytest.mark.fault(12)
@pytest.mark.slow
def test_sigterm_to_the_stage_checkpoints_and_exits_as_preempted(snapshot: Path, tmp_path: Path) -> None:
    stage = _start(snapshot, tmp_path)
    wait_until(lambda: _checkpoints(tmp_path), "a checkpoint")
    stage.terminate()
    assert exit_code(stage) == PREEMPTED_EXIT_CODE
    outcomes = [json.loads(path.read_text()) for path in tmp_path.glob("train.checkpoints/*/job/outcome-*.json")]
    assert [outcome["kind"] for outcome in outcomes] == ["preempted"] * 2
    newest = _checkpoints(tmp_path)[-1]
    assert int(newest.removeprefix("step-")) == outcomes[0]["step"]
