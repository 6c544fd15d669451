"""Publish folders and files, get killed before every system call that matters, and look at what is there.

Run as a program, as it forks: ``python kill_points.py SCENARIO FOLDER`` prints the calls of an undisturbed run after
all kills were survived.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from traced import Call, can_trace, forbid, run_traced

from ecclip.atomic import write_atomic
from ecclip.core import Counts, StageConfig, configure_logging, replace_folder, stage, verify_folder

_NO_TRACE = 77


class Config(StageConfig):
    """What to publish, and whether to fail before."""

    text: str
    fails: bool = False


@stage
def publish(cfg: Config, output: Path) -> Counts:
    """Write two files and one in a folder below."""
    (output / "part").mkdir()
    for name in ("one", "two", "part/three"):
        (output / name).write_text(cfg.text)
    if cfg.fails:
        raise RuntimeError("meant")
    return Counts(written={"files": 3})


def main(scenario: str, folder: Path) -> list[Call]:
    """Run a scenario and return the calls of the run that nobody killed."""
    configure_logging()
    if scenario == "file":
        return _everywhere(folder, _write_old, lambda at: write_atomic(at / "file", "new"), _check_file)
    if scenario == "bare":
        return _everywhere(folder, lambda at: at.mkdir(), _place_bare, _check_bare)
    if scenario.endswith("without exchange"):
        forbid("renameat2")
    first = scenario.startswith("first")
    prepare = (lambda at: at.mkdir()) if first else (lambda at: _run(at, "old"))
    allowed = (None, "new") if first else ("old", "new")
    return _everywhere(folder, prepare, lambda at: _run(at, "new"), lambda at: _check_folder(at, allowed))


def _everywhere(
    folder: Path, prepare: Callable[[Path], object], work: Callable[[Path], object], check: Callable[[Path], None]
) -> list[Call]:
    """Kill ``work`` before each of its calls, then ``check`` what it left; return the calls of the run to the end."""
    kills = 0
    while True:
        at = folder / str(kills)
        prepare(at)
        calls, status = run_traced(lambda at=at: work(at), kill_at=kills + 1)  # type: ignore[misc]
        assert status in (0, -9), status
        check(at)
        if status == 0:
            return calls
        kills += 1
        shutil.rmtree(at)


def _check_folder(at: Path, allowed: tuple[str | None, ...]) -> None:
    """Run again, once failing and once not, from the same state: neither run loses what was published."""
    twin = at.with_name(f"{at.name}-twin")
    shutil.copytree(at, twin)
    _killed_again(at, allowed)
    found = _fails(twin)
    assert found in allowed, found
    assert _fails(twin) == found
    for state in (at, twin):
        _run(state, "new")
        assert _published(state) == "new"
        assert sorted(path.name for path in state.iterdir()) == [".final.lock", "final"]
    shutil.rmtree(twin)


def _killed_again(at: Path, allowed: tuple[str | None, ...]) -> None:
    """Where nothing stands under the name right after the kill, the run that fixes it is killed everywhere, too."""
    if (at / "final").exists() or "old" not in allowed:
        return
    for number in range(1, 1000):
        again = at.with_name(f"{at.name}-again")
        shutil.copytree(at, again)
        status = run_traced(lambda again=again: _fails(again), kill_at=number)[1]  # type: ignore[misc]
        assert _fails(again) in allowed, number
        shutil.rmtree(again)
        if status == 0:
            return
    raise AssertionError("the run that fixes never ends")


def _run(at: Path, text: str) -> None:
    publish(Config(text=text), output=at / "final")


def _fails(at: Path) -> str | None:
    """Let a run fail; return what is published after it."""
    try:
        publish(Config(text="newer", fails=True), output=at / "final")
    except RuntimeError:
        return _published(at)
    raise AssertionError("the run should have failed")


def _published(at: Path) -> str | None:
    """Return the one text of a published folder, every file held against its manifest; None where there is none."""
    if not (at / "final").exists():
        return None
    manifest = verify_folder(at / "final")
    texts = {(at / "final" / name).read_text() for name in manifest.files}
    assert len(manifest.files) == 3, manifest.files
    assert len(texts) == 1, texts
    return texts.pop()


def _place_bare(at: Path) -> None:
    """Place a folder of which nothing was flushed before, not even a manifest."""
    temporary = at / ".final.tmp-1"
    temporary.mkdir()
    (temporary / "one").write_text("new")
    replace_folder(temporary, at / "final")


def _check_bare(at: Path) -> None:
    assert not (at / "final").exists() or (at / "final" / "one").read_text() == "new"


def _write_old(at: Path) -> None:
    at.mkdir()
    (at / "file").write_text("old")


def _check_file(at: Path) -> None:
    assert (at / "file").read_text() in ("old", "new")
    write_atomic(at / "file", "newer")
    assert (at / "file").read_text() == "newer"


if __name__ == "__main__":
    if not can_trace():
        sys.exit(_NO_TRACE)
    json.dump([dataclasses.asdict(call) for call in main(sys.argv[1], Path(sys.argv[2]))], sys.stdout)
