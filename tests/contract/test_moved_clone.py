"""The environments of a clone that was moved or copied are made anew: their programs name the place where it lay."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE = ("main", "serving", "uv", "rtx", "triton")

pytestmark = [pytest.mark.fault(49), pytest.mark.ops]


def _look(clone: Path) -> tuple[str, list[str]]:
    """Run the first step of the set-up; return what it says and the environments that it has left."""
    done = subprocess.run([str(clone / "scripts" / "moved")], capture_output=True, text=True, check=True)
    return done.stderr, sorted(path.name for path in (clone / "work" / "env").iterdir() if path.is_dir())


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_what_lay_elsewhere_is_made_anew_once_and_the_original_stays(tmp_path: Path, how: str) -> None:
    clone, other = tmp_path / "clone", tmp_path / "other"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "moved", clone / "scripts")
    for name in MADE:
        (clone / "work" / "env" / name).mkdir(parents=True)
    for _ in range(2):
        assert _look(clone) == ("", sorted(MADE)), "it lies where it lay"
    clone.rename(other) if how == "moved" else shutil.copytree(clone, other)
    said, left = _look(other)
    assert f"this folder lay at {clone} before" in said
    assert left == ["triton"], "it names no place"
    assert _look(other) == ("", ["triton"])
    assert clone.exists() == (how == "copied")
    if how == "copied":
        assert _look(clone) == ("", sorted(MADE))


def test_a_link_to_environments_that_lie_elsewhere_is_no_move(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "moved", tmp_path / name / "scripts")
    (tmp_path / "one" / "work" / "env" / "main").mkdir(parents=True)
    (tmp_path / "two" / "work").mkdir()
    (tmp_path / "two" / "work" / "env").symlink_to(tmp_path / "one" / "work" / "env")
    assert [_look(tmp_path / name) for name in ("one", "two", "one")] == [("", ["main"])] * 3
