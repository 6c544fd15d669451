"""A disk that is full at each step of a release: one line that says so, nothing half, and the same command goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serving_server import SERVING_PYTHON

from ecclip.core import ServiceError, lack_of_space, run_command
from ecclip.errors import CheckpointError, ConfigError

pytestmark = [pytest.mark.fault(51), pytest.mark.ops]

RELEASE = Path(__file__).parents[1] / "support" / "full_disk.py"


def _can_mount() -> bool:
    command = ["unshare", "-rm", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not SERVING_PYTHON.exists(), reason="the serving environment is missing: make setup")
@pytest.mark.skipif(not _can_mount(), reason="this machine lets nobody mount a disk of its own")
def test_each_step_of_a_release_says_that_the_disk_is_full_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    command = ["unshare", "-rm", sys.executable, str(RELEASE), str(tmp_path)]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    failed = [one for one in seen if one["status"]]
    assert {one["step"] for one in failed} == {"register", "gate", "bless", "promote"}, "each met a full disk"
    for one in failed:
        assert one["status"] == 1, one
        assert "ServiceError: there is no space left on a disk" in one["said"], one
        assert "Traceback" not in one["said"], one
        assert one["live"] == 1, "what answered goes on"
    assert seen[-1] == {"step": "promote", "left": None, "status": 0, "said": "", "live": 2}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "work/bundles/x"), "work/bundles/x"),
        (OSError(122, "Disk quota exceeded"), "quota"),
        (
            ServiceError("dvc could not record the night", value="a\nERROR: No space left on device: b", next_step="x"),
            "b",
        ),
        (ServiceError("a model did not load", value="Error: No space left on device;", next_step="x"), "device"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full\n[SQL: ...]"), "database or disk is full"),
    ],
)
def test_a_full_disk_is_told_from_whatever_met_it(error: Exception, words: str) -> None:
    assert words in str(lack_of_space(error))
    later = ConfigError("something else", next_step="nothing of use")
    later.__cause__ = error
    assert words in str(lack_of_space(later))


@pytest.mark.parametrize("error", [OSError(2, "No such file or directory"), ConfigError("wrong", next_step="mend it")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert lack_of_space(error) is None


def test_a_checkpoint_that_cannot_be_written_keeps_its_own_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise CheckpointError("a checkpoint cannot be written", next_step="make room") from OSError(28, "No space left")

    with pytest.raises(SystemExit):
        run_command(command)
    assert "CheckpointError: a checkpoint cannot be written; next: make room" in capsys.readouterr().err
