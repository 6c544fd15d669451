"""What is made once a test run: the processes of pytest-xdist share it, and nobody changes it."""

from __future__ import annotations

import atexit
import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest

_ROOTS: list[Path] = []  # of this process


def use_root_of(factory: pytest.TempPathFactory, worker: str | None) -> None:
    """Keep what is shared below pytest's folder of this run; ``worker`` is the name that pytest-xdist gave."""
    own = factory.getbasetemp()
    _ROOTS[:] = [(own.parent if worker else own) / "shared"]


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder ``name``, which ``make`` has filled for the first who asked in this test run.

    Its users read it; who wants to write copies it.
    """
    (root := _root()).mkdir(exist_ok=True)
    folder, whole = root / name, root / f"{name}.whole"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one who was ended, or failed
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


def _root() -> Path:
    if not _ROOTS:  # before the first test, as for the processes of `make mutants`
        _ROOTS.append(Path(mkdtemp(prefix="ecclip-shared-")))
        atexit.register(shutil.rmtree, _ROOTS[0], ignore_errors=True)
    return _ROOTS[0]
