"""The command line's bytes and dvc's bytes are the same, and after one the other finds nothing to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NIGHT = "2026-11-01"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]


def _run(workspace: Path, *command: str) -> str:
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "ECCLIP_WORKSPACE": str(workspace),
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(command, env=environment, cwd=workspace, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def _workspace(folder: Path) -> Path:
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    for name in (".dvc", "ecclip"):
        ignore = shutil.ignore_patterns("__pycache__", "tmp", "cache")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    _run(folder, "git", "init", "-q")
    _run(folder, "ecclip", "sample", "--nights", "1", "--listings", "300", "--folder", str(folder / "work"))
    return folder


def _manifests(workspace: Path) -> dict[str, bytes]:
    paths = [*workspace.glob("work/nights/*/*/manifest.json"), *workspace.glob("work/snapshots/*/manifest.json")]
    return {str(path.relative_to(workspace)): path.read_bytes() for path in sorted(paths)}


def test_dvc_repro_and_the_stages_make_equal_bytes(tmp_path: Path) -> None:
    from ecclip.pipeline import STEPS

    by_stage, by_dvc = _workspace(tmp_path / "by_stage"), _workspace(tmp_path / "by_dvc")
    stages = [name for name in STEPS if name != "group_products"]
    for name in stages:
        _run(by_stage, "ecclip", "run", name, "--night", NIGHT)
    _run(by_dvc, "ecclip", "nights", "add", NIGHT)
    _run(by_dvc, "dvc", "repro")
    assert len(_manifests(by_dvc)) >= len(stages)
    shared = {name: data for name, data in _manifests(by_dvc).items() if name in _manifests(by_stage)}
    assert shared == _manifests(by_stage)
    said = _run(by_dvc, "dvc", "repro")
    assert [name for name in STEPS if f"Running stage '{name}@{NIGHT}'" in said] == ["extract"], (
        "it looks at the source"
    )
    assert {name for name in STEPS if f"Stage '{name}@{NIGHT}' didn't change, skipping" in said} == {*STEPS} - {
        "extract"
    }
