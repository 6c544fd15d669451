"""A DVC workspace as a clone of the project is one: the same dvc.yaml, configuration and source folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from ecclip.core import settings

ROOT = Path(__file__).parents[2]
_HOLD = (
    "import sys, zc.lockfile; lock = zc.lockfile.LockFile(sys.argv[1]); print('held', flush=True);"
    " sys.stdin.read(); lock.close()"
)


def make_dvc_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch, nights: list[str]) -> Path:
    """Make ``folder`` the workspace of this process, with DVC's files, git, and ``nights`` entered."""
    folder.mkdir()
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    shutil.copytree(ROOT / "ecclip", folder / "ecclip", ignore=shutil.ignore_patterns("__pycache__"))
    params: dict[str, dict[str, str]] = {key: {} for key in yaml.safe_load((ROOT / "params.yaml").read_text())}
    # the one stage that is run here needs no registry when it starts from the pretrained towers
    params["start"] = {"mode": "pretrained"}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    settings.cache_clear()
    from ecclip.nights import add_night, prepare_workspace

    prepare_workspace()
    for night in nights:
        add_night(night)
    return folder


def dvc(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dvc there as a person would, with the environment's programs on the path."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(workspace / "work" / "dvc" / "no-config"),
        "DVC_SYSTEM_CONFIG_DIR": str(workspace / "work" / "dvc" / "no-config"),
    }
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=workspace, env=environment, capture_output=True, text=True
    )


def add_remote(workspace: Path, folder: Path) -> None:
    """Make a folder the default remote of a workspace, as ``dvc remote add --default --local`` does."""
    folder.mkdir(exist_ok=True)
    url = os.path.relpath(folder, workspace / ".dvc")
    text = f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n"
    (workspace / ".dvc" / "config.local").write_text(text)


@contextmanager
def held(workspace: Path) -> Iterator[Callable[[], None]]:
    """Hold DVC's lock until the end of the block, or until what is yielded is called."""
    lock = workspace / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        yield holder.stdin.close
        holder.stdin.close()
