"""Of several training processes any may be killed, stopped or terminated: none hangs, and a restart loses nothing."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshots import write_snapshot
from training_faults import exit_code, one_of_several, run_children

from ecclip.train import PREEMPTED_EXIT_CODE

pytestmark = pytest.mark.heavy

KILLED = -signal.SIGKILL
TIMEOUT_S = 120.0  # of no matter where nobody hangs: whoever loses a peer hears of it at once


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


@pytest.fixture(scope="module")
def undisturbed(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert _run(snapshot, folder) == [0, 0]
    return folder


def _run(snapshot: Path, folder: Path, faults: tuple[str, ...] = ("", ""), **changes: Any) -> list[int]:
    """Train in as many processes as there are faults and return their exit codes."""
    folder.mkdir(exist_ok=True)
    (folder / "meeting").unlink(missing_ok=True)
    shutil.rmtree(folder / "meeting.here", ignore_errors=True)
    size = len(faults)
    own = [(snapshot, folder, fault, rank, size, TIMEOUT_S, changes) for rank, fault in enumerate(faults)]
    return run_children(one_of_several, *own)


def _result(folder: Path, rank: int = 0) -> Any:
    return json.loads((folder / f"rank-{rank}" / "result.json").read_text())


def test_all_processes_end_with_the_same_weights(undisturbed: Path) -> None:
    first, second = (_result(undisturbed, rank) for rank in range(2))
    assert first["weights"] == second["weights"]
    assert first["moments"] == second["moments"]
    assert [path.name for path in sorted((undisturbed / "steps").iterdir())] == ["step-00000008", "step-00000012"]
    assert "training {'step': 10" in (undisturbed / "rank-0" / "log.txt").read_text()
    assert not (undisturbed / "rank-1" / "log.txt").exists()


@pytest.mark.fault(14)
@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_killed_process_ends_the_others_and_a_restart_resumes(
    snapshot: Path, undisturbed: Path, tmp_path: Path, victim: int
) -> None:
    codes = _run(snapshot, tmp_path, ("step 5", "") if victim == 0 else ("", "step 5"))
    assert codes[victim] == KILLED
    assert codes[1 - victim] > 0
    assert [path.name for path in (tmp_path / "steps").glob("step-*")] == ["step-00000004"]
    assert _run(snapshot, tmp_path) == [0, 0]
    assert "training resumes {'step': 4" in (tmp_path / "rank-0" / "log.txt").read_text()
    assert _result(tmp_path) == _result(undisturbed)


@pytest.mark.fault(14)
def test_a_process_that_hangs_is_not_waited_for_longer_than_the_timeout(snapshot: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    waiting, hanging = (
        context.Process(target=one_of_several, args=(snapshot, tmp_path, fault, rank, 2, 10.0, {}))
        for rank, fault in enumerate(("", "stop 2"))
    )
    try:
        waiting.start()
        hanging.start()
        assert exit_code(waiting) > 0
        assert hanging.is_alive()
    finally:
        for process in (waiting, hanging):
            process.kill()
            process.join()


@pytest.mark.fault(9)
@pytest.mark.slow
def test_both_killed_again_and_again_end_with_equal_weights_and_losses(
    snapshot: Path, undisturbed: Path, tmp_path: Path
) -> None:
    step = f"step {random.Random(14).randrange(4, 8)}"
    for faults in ((step, step), ("write 2", "step 9"), ("step 11", "step 11")):
        codes = _run(snapshot, tmp_path, faults)
        assert KILLED in codes
        assert 0 not in codes
    assert _run(snapshot, tmp_path) == [0, 0]
    assert _result(tmp_path) == _result(undisturbed)
    assert _result(tmp_path, 1)["weights"] == _result(undisturbed)["weights"]


@pytest.mark.fault(12)
def test_sigterm_to_any_process_writes_a_checkpoint_and_ends_all(
    snapshot: Path, undisturbed: Path, tmp_path: Path
) -> None:
    assert _run(snapshot, tmp_path, ("", "terminate 5")) == [PREEMPTED_EXIT_CODE] * 2
    assert (tmp_path / "steps" / "step-00000006" / "manifest.json").is_file()
    assert _run(snapshot, tmp_path) == [0, 0]
    assert _result(tmp_path) == _result(undisturbed)


def test_one_process_out_of_memory_shrinks_the_streams_of_all(snapshot: Path, tmp_path: Path) -> None:
    shrunk, small = tmp_path / "shrunk", tmp_path / "small"
    assert _run(snapshot, shrunk, ("", "memory 4"), epochs=1) == [0, 0]
    assert _run(snapshot, small, epochs=1, micro_batch_size=3) == [0, 0]
    assert "'micro_batch_size': 3" in (shrunk / "rank-0" / "log.txt").read_text()
    assert _result(shrunk)["weights"] == _result(shrunk, 1)["weights"] == _result(small)["weights"]
    metrics = [(step, name, value) for step, name, value in _result(shrunk)["metrics"] if "out_of" in name]
    assert metrics == [[1, "train/out_of_memory", 1.0]] or metrics == [(1, "train/out_of_memory", 1.0)]


def test_another_number_of_processes_goes_on_with_the_same_batches(snapshot: Path, tmp_path: Path) -> None:
    changed, alone = tmp_path / "changed", tmp_path / "alone"
    same_streams = {"micro_batch_size": 8}
    assert KILLED in _run(snapshot, changed, ("step 6", "step 6"), **same_streams)
    assert _run(snapshot, changed, ("",), **same_streams) == [0]
    assert "training resumes {'step': 4" in (changed / "rank-0" / "log.txt").read_text()
    assert _run(snapshot, alone, ("",), **same_streams) == [0]
    found, expected = (
        [value for _, name, value in _result(folder)["metrics"] if name == "train/loss"] for folder in (changed, alone)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
