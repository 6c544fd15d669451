"""``dvc exp run -S`` as users of DVC know it: in a git clone, with what params.yaml spells out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc_workspaces import ROOT, dvc, make_dvc_workspace
from snapshots import write_snapshot

from ecclip.core import digest_of, read_manifest, settings
from ecclip.pipeline import STEPS, run_stage
from ecclip.registry import record_version

NIGHT = "2026-11-01"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ecclip@example")
    folder = make_dvc_workspace(tmp_path / "workspace", monkeypatch, [NIGHT])
    params = (ROOT / "params.yaml").read_text()
    assert "start: {}" in params
    # no registry is asked for a champion
    (folder / "params.yaml").write_text(params.replace("start: {}", "start: {mode: pretrained}"))
    for command in (["add", "-A"], ["commit", "-qm", "a clone"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.slow
def test_an_experiment_trains_with_what_it_sets(workspace: Path) -> None:
    snapshot = write_snapshot(workspace / "work" / "snapshots" / NIGHT, listings=60)
    for name in STEPS["publish"].inputs.values():
        folder = workspace / "work" / name.format(night=NIGHT, previous="none")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rows").write_text(name)
    run_stage("start", NIGHT)
    record_version(NIGHT, ["publish", "start"])
    before = digest_of(snapshot)

    settings_of_it = ["-S", "train.trainer.epochs=3", "-S", "train.trainer.sampler.batch_size=16"]
    done = dvc(workspace, "exp", "run", *settings_of_it, "--single-item", f"train@{NIGHT}")
    assert done.returncode == 0, done.stdout + done.stderr

    trainer = read_manifest(workspace / "work" / "nights" / NIGHT / "train").config["trainer"]
    assert (trainer["epochs"], trainer["sampler"]["batch_size"]) == (3, 16)
    written = yaml.safe_load((workspace / "params.yaml").read_text())["train"]["trainer"]
    assert (written["epochs"], written["sampler"]["batch_size"]) == (3, 16)
    assert digest_of(snapshot) == before
    shown = dvc(workspace, "exp", "show", "--json", "--only-changed").stdout
    assert '"epochs": 3' in shown
