"""The project's wheels, built from this checkout, and processes that have what a wheel needs and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from serving_server import ENVIRONMENTS

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "packaging" / "client"


def build_wheel(project: Path, folder: Path) -> Path:
    """Build a project's wheel into an empty folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, target: Path) -> Path:
    """Install a wheel, and nothing that it needs, into a folder."""
    uv = [str(ENVIRONMENTS / "uv" / "bin" / "uv"), "pip", "install", "--quiet", "--offline", "--no-cache", "--no-deps"]
    subprocess.run([*uv, "--python", sys.executable, "--target", str(target), str(wheel)], check=True)
    return target


def link_requirements(wheel_requires: list[str], folder: Path) -> Path:
    """Fill a folder with links to what the requirements name, and to what that needs, as installed here."""
    folder.mkdir()
    waiting, seen = [Requirement(one) for one in wheel_requires], set()
    while waiting:
        needed = waiting.pop()
        if (needed.name, *sorted(needed.extras)) in seen:
            continue
        seen.add((needed.name, *sorted(needed.extras)))
        found = distribution(needed.name)
        assert needed.specifier.contains(found.version), f"{needed} is here as {found.version}"
        for name in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(Path(str(found.locate_file(name))))
        extras = needed.extras or {""}
        for one in map(Requirement, found.requires or []):
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(one)
    return folder


def run_alone(code: str, folders: list[Path], arguments: list[str], cwd: Path) -> str:
    """Run code in a Python that can import the standard library and what lies in ``folders``; return what it prints."""
    start = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]!r}\n"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", start + code, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout
