"""A night killed in the middle of a stage ends, when it is run again, with the bytes of an undisturbed night."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from waiting import wait_until

from ecclip.pipeline import stages_of

ROOT = Path(__file__).parents[2]
NIGHT = "2026-11-01"
STAGES = [*stages_of("nightly_catalog"), *stages_of("train_towers")]

pytestmark = [pytest.mark.slow, pytest.mark.fault(1), pytest.mark.timeout(5400)]


def _workspace(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(ROOT / "dvc.yaml", folder / "dvc.yaml")
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    parameters["train"] = {"trainer": {"checkpoint_every": 2}}  # a small night has few steps
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    return folder


def _ecclip(workspace: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"ECCLIP_WORKSPACE": str(workspace)}
    with (workspace / "log.txt").open("ab") as log:
        command = [sys.executable, "-m", "ecclip", *arguments]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=workspace)


def _run(workspace: Path, *arguments: str) -> None:
    assert _ecclip(workspace, *arguments).wait() == 0, (workspace / "log.txt").read_text()[-3000:]


def _digests(workspace: Path) -> dict[str, str]:
    from ecclip.atomic import sha256_file

    return {
        str(path.relative_to(workspace)): sha256_file(path)
        for path in sorted(workspace.glob("work/*/*/**/manifest.json"))
        if "dumps" not in path.parts
    }


def _kill_while_writing(workspace: Path, stage: str, sign: str) -> None:
    """Start a stage, wait for the file pattern that shows it is at work, then SIGKILL its whole session."""
    process = _ecclip(workspace, "run", stage, "--night", NIGHT)
    wait_until(lambda: list((workspace / "work").glob(sign)) or process.poll() is not None, f"{sign} of {stage}")
    log = (workspace / "log.txt").read_text()
    assert process.poll() is None, f"{stage} ended before it could be killed: {log[-2000:]}"
    members = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for member in members:  # Spark's JVM starts its own session
        if member.is_running():
            member.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_night_killed_in_spark_and_in_training_ends_with_the_same_digests(tmp_path: Path) -> None:
    calm, killed = _workspace(tmp_path / "calm"), _workspace(tmp_path / "killed")
    for workspace in (calm, killed):
        _run(workspace, "sample", "--nights", "1", "--listings", "300", "--folder", str(workspace / "work"))
    for stage in STAGES:
        _run(calm, "run", stage, "--night", NIGHT)
    for stage in STAGES:
        if stage == "clean":
            _kill_while_writing(killed, stage, f"nights/{NIGHT}/.clean.tmp-*/**/*.parquet*")
        if stage == "train":
            _kill_while_writing(killed, stage, f"nights/{NIGHT}/train.checkpoints/**/manifest.json")
        if stage == "export":
            _kill_while_writing(killed, stage, f"nights/{NIGHT}/.bundle.tmp-*/**/*.onnx")
        _run(killed, "run", stage, "--night", NIGHT)
    assert len(_digests(calm)) == len(STAGES)
    assert _digests(killed) == _digests(calm)
    assert not list((killed / "work").glob("**/.*tmp-*"))
