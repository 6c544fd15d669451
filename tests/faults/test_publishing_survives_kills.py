"""Killed between any two system calls of publishing, the old or the new is there; a failing next run loses neither."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "kill_points.py"
FOLDERS = ("first", "again", "first without exchange", "again without exchange")
Calls = list[tuple[str, tuple[str, ...]]]


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory):
    @cache
    def run(scenario: str) -> Calls:
        """Survive every kill of a scenario and return the calls of its undisturbed run."""
        command = [sys.executable, str(PROGRAM), scenario, str(tmp_path_factory.mktemp("killed"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 77:
            pytest.skip("this machine does not let a process trace its child")
        assert done.returncode == 0, done.stderr[-3000:]
        return [(call["name"], tuple(call["paths"])) for call in json.loads(done.stdout)]

    return run


@pytest.mark.fault(42)
@pytest.mark.parametrize("scenario", FOLDERS)
def test_a_folder_is_old_or_new_after_a_kill_before_any_call_and_after_the_next_run(survived, scenario: str) -> None:
    calls = survived(scenario)
    named = [name for name, paths in calls if name.startswith("rename") and paths[1].endswith("/final")]
    assert named == ["renameat2" if scenario == "again" else "rename"]
    stepped_aside = [paths for _, paths in calls if ".final.old-" in paths[-1] and paths[0].endswith("/final")]
    assert len(stepped_aside) == (scenario == "again without exchange")


@pytest.mark.fault(42)
def test_a_file_is_old_or_new_after_a_kill_before_any_call(survived) -> None:
    assert len(survived("file")) >= 5


@pytest.mark.fault(42)
@pytest.mark.parametrize("scenario", [*FOLDERS, "bare", "file"])
def test_everything_is_on_disk_before_it_gets_its_name_and_the_name_before_the_old_goes(survived, scenario) -> None:
    calls, name = survived(scenario), "file" if scenario == "file" else "final"
    assert _lost_with_the_power(calls, name) == set()
    flushed = {_name(paths[0]) for call, paths in calls if call == "fsync"}
    for path in flushed:
        unflushed = [(call, paths) for call, paths in calls if (call, _name(paths[0])) != ("fsync", path)]
        assert _lost_with_the_power(unflushed, name), f"nobody would notice that {path} is not flushed"


@pytest.mark.fault(42)
def test_an_old_folder_that_goes_before_the_new_one_has_its_name_would_be_noticed(survived) -> None:
    calls = survived("again")
    removals = [call for call in calls if call[0] in ("unlinkat", "rmdir")]
    final = _final(calls, "final")
    first = [(call, (re.sub(r"^.*/\.final\.tmp-\d+", final, paths[0]),)) for call, paths in removals]
    assert len(first) >= 6
    assert _lost_with_the_power([*first, *(call for call in calls if call not in removals)], "final")


def _name(path: str) -> str:
    """Return the name that a file is flushed for: its own, or the one that it has after its rename."""
    return re.sub(r"/\.([^/]+)\.tmp-\d+$", r"/\1", path)


def _lost_with_the_power(calls: Calls, name: str) -> set[str]:
    """Return what a loss of power could take from a disk that keeps only what was flushed.

    Content is safe once its file was flushed after its last write, an entry once its folder was flushed after it.
    """
    final = old = _final(calls, name)
    root = str(Path(final).parent)
    unsafe: set[str] = set()
    lost: set[str] = set()
    named = False
    for call, paths in calls:
        if call in ("write", "openat", "mkdir"):
            unsafe |= {paths[0]} if call == "write" else {paths[0], str(Path(paths[0]).parent)} - {root}
        elif call == "fsync":
            unsafe.discard(paths[0])
        elif call.startswith("rename"):
            source, target = paths
            if target == final:
                named = True
                lost |= {path for path in unsafe if _below(path, source)}
                unsafe.add(root)
            old = {source: target, target: source if call == "renameat2" else ""}.get(old, old)
            unsafe = {target + path.removeprefix(source) if _below(path, source) else path for path in unsafe}
            unsafe |= {str(Path(path).parent) for path in paths} - {root}
        elif _below(paths[0], old) and (not named or root in unsafe):
            lost.add(paths[0])
    return lost | {path for path in unsafe if path == root}


def _final(calls: Calls, name: str) -> str:
    return next(paths[1] for call, paths in calls if call.startswith("rename") and Path(paths[1]).name == name)


def _below(path: str, folder: str) -> bool:
    return bool(folder) and Path(path).is_relative_to(folder)
