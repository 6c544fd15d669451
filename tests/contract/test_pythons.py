"""Which interpreters the set-up takes: what is given, then the oldest that is here; one line where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / "work" / "env" / "uv"
TOOLS = ("bash", "cat", "dirname", "env", "sed")
HERE = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"

pytestmark = pytest.mark.skipif(not UV.is_dir(), reason="uv is where `make setup` puts it, below work/env")


def choose(folder: Path, *interpreters: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the choice in a clone without environments, on a machine that has these interpreters and can fetch none."""
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "pythons", folder / "scripts")
    (folder / "work" / "env").mkdir(parents=True)
    (folder / "work" / "env" / "uv").symlink_to(UV.resolve())
    (folder / "bin").mkdir()
    for tool in TOOLS:
        (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
    path = ":".join([str(folder / "bin"), *(str(one.parent) for one in interpreters)])
    given = {"PATH": path, "HOME": str(folder), "UV_PYTHON_DOWNLOADS": "never", **environment}
    kept = {name: value for name, value in os.environ.items() if name in ("TMPDIR", "LANG", "TZ")}
    return subprocess.run(
        [str(folder / "scripts" / "pythons")], env=kept | given, capture_output=True, text=True, check=False
    )


def version_of(line: str) -> str:
    command = [line, "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_machine_without_a_fit_python_gets_one_line(tmp_path: Path) -> None:
    done = choose(tmp_path / "clone")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "3.11, 3.12 or 3.13" in done.stderr
    assert done.stdout == "", "nothing is installed on half a choice"


def test_the_installed_python_is_found_and_is_chosen_again(tmp_path: Path) -> None:
    first, second = choose(tmp_path / "one", HERE), choose(tmp_path / "two", HERE)
    if sys.version_info[:2] == (3, 13) and first.returncode:
        assert "serving environment needs Python 3.11 or 3.12" in first.stderr
        assert first.stderr.count("\n") == 1
        return
    assert first.returncode == 0, first.stderr
    assert version_of(first.stdout.splitlines()[0]) == ".".join(map(str, sys.version_info[:3]))
    assert second.stdout == first.stdout


@pytest.mark.parametrize("variable", ["PYTHON", "SERVING_PYTHON"])
def test_what_is_given_is_taken_or_refused(tmp_path: Path, variable: str) -> None:
    fit = {"PYTHON": str(HERE), "SERVING_PYTHON": str(HERE)}
    wrong = choose(tmp_path / "wrong", **{**fit, variable: shutil.which("false") or "false"})
    assert wrong.returncode == 1
    assert wrong.stderr.count("\n") == 1
    assert f"{variable}=" in wrong.stderr
