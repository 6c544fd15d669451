"""The model repository: version folders are written once, proven by digests, and survive a kill at any write."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving_bundles import tiny_bundle

from ecclip.core import IntegrityError, sha256_file
from ecclip.serving import Repository
from ecclip.serving.deploy import repository as module


def _tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def _times(folder: Path) -> dict[Path, int]:
    """Return when each file was written last; the lock's holder signs it each time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path: path.stat().st_mtime_ns for path in files}


def test_staging_twice_changes_nothing(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    first = repository.stage(tiny_bundle(0), 7)
    before = _times(tmp_path)
    assert repository.stage(tiny_bundle(0), 7) == first
    assert _times(tmp_path) == before


def test_a_version_never_becomes_another_bundle(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.stage(tiny_bundle(0), 1)
    other = tmp_path / "other"
    shutil.copytree(tiny_bundle(0), other)
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + " ")
    before = _tree(tmp_path / "product")
    with pytest.raises(IntegrityError, match="another bundle"):
        repository.stage(other, 1)
    assert _tree(tmp_path / "product") == before


def test_a_bundle_that_is_not_what_its_manifest_says_is_refused(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(0), bundle)
    (bundle / "onnx" / "heads.onnx").write_bytes(b"not a graph")
    with pytest.raises(IntegrityError, match=r"heads\.onnx"):
        Repository(tmp_path / "repository").stage(bundle, 1)
    assert not list((tmp_path / "repository").glob("*/1"))


@pytest.mark.fault(21)
@pytest.mark.parametrize("model", ["image_tower", "product"])
def test_changed_missing_and_extra_files_are_refused(tmp_path: Path, model: str) -> None:
    def spoil(change: Callable[[Path], Any]) -> Repository:
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        repository = Repository(tmp_path / "r")
        repository.stage(tiny_bundle(0), 1)
        change(tmp_path / "r" / model / "1" / "model.py")
        return repository

    def truncate(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-1])

    for change, text in (
        (truncate, "not what was staged"),
        (Path.unlink, "missing"),
        (lambda path: (path.parent / ".model.py.swp").touch(), "does not belong"),
    ):
        with pytest.raises(IntegrityError, match=text):
            spoil(change).verify(1)


@pytest.mark.fault(18)
def test_staging_killed_at_any_write_and_run_again_gives_the_same_files(tmp_path: Path) -> None:
    bundle = tiny_bundle(0)
    Repository(tmp_path / "undisturbed").stage(bundle, 3)
    expected = _tree(tmp_path / "undisturbed")
    kills = 0
    for step in range(1, 40):
        folder = tmp_path / f"killed-{step}"
        pid = os.fork()
        if pid == 0:
            _die_at(step)
            Repository(folder).stage(bundle, 3)
            os._exit(0)
        if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            kills += 1
            assert Repository(folder).staged(3) is None or _tree(folder) == expected
            Repository(folder).stage(bundle, 3)
            assert _tree(folder) == expected
            shutil.rmtree(folder)
        else:
            break
    assert kills >= 12


def _die_at(step: int) -> None:
    """Kill this process before its ``step``-th write, replacement or removal."""
    left = [step]

    def counted(function: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return run

    for name in ("install_folder", "write_atomic", "replace_folder"):
        setattr(module, name, counted(getattr(module, name)))
    Path.replace = counted(Path.replace)  # type: ignore[method-assign]
    Path.rename = counted(Path.rename)  # type: ignore[method-assign]


def test_commits_count_up_and_name_the_version_before(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    for version in (1, 2):
        repository.stage(tiny_bundle(0), version)
    assert repository.live() is None
    assert repository.commit(1).sequence == 1
    assert repository.commit(1).sequence == 1
    second = repository.commit(2)
    assert (second.version, second.previous, second.sequence) == (2, 1, 2)
    assert repository.live() == second
    assert (repository.commit(1).version, repository.live().previous) == (1, 2)  # type: ignore[union-attr]
