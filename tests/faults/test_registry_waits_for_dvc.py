"""A DVC lock that is held is waited for, not for ever; what DVC lost or damaged is named, and nobody trains on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_workspaces import dvc, held, make_dvc_workspace
from snapshots import write_snapshot
from structlog.testing import capture_logs
from waiting import HANG_S, wait_until

from ecclip.core import IntegrityError, ServiceError, settings, verify_folder
from ecclip.pipeline import run_stage
from ecclip.registry import dvc_version, record_version, restore_snapshot

pytestmark = pytest.mark.heavy

NIGHT = "2026-11-01"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = make_dvc_workspace(tmp_path / "workspace", monkeypatch, [NIGHT])
    write_snapshot(folder / "work" / "snapshots" / NIGHT, listings=12)
    run_stage("start", NIGHT)
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.fault(17)
def test_a_lock_held_too_long_ends_the_wait_and_names_the_lock(workspace: Path) -> None:
    with held(workspace), pytest.raises(ServiceError, match=r"another DVC process.*\.dvc/tmp/lock"):
        record_version(NIGHT, ["start"], wait_s=2)
    assert not (workspace / "dvc.lock").exists()


@pytest.mark.fault(17)
def test_a_lock_that_is_released_in_time_costs_only_the_wait(workspace: Path) -> None:
    with held(workspace) as let_go, capture_logs() as said:

        def release_it_once_somebody_waits() -> None:
            wait_until(lambda: [line for line in said if "waiting for another DVC" in line["event"]], "a refused try")
            let_go()

        releasing = threading.Thread(target=release_it_once_somebody_waits)
        releasing.start()
        record_version(NIGHT, ["start"], wait_s=HANG_S)
        releasing.join()
    assert f"start@{NIGHT}" in (workspace / "dvc.lock").read_text()
    assert dvc_version(NIGHT) == ""


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace whose snapshot is recorded and pushed, and with the remote, to copy."""
    above = tmp_path_factory.mktemp("pushed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _record_and_push(make_dvc_workspace(above / "workspace", monkeypatch, [NIGHT]))
    settings.cache_clear()
    return above


def _record_and_push(folder: Path) -> None:
    write_snapshot(folder / "work" / "snapshots" / NIGHT, listings=60)
    for name in ("ingest", "check", "clean", "group", "pairs"):
        before = folder / "work" / "nights" / NIGHT / name
        before.mkdir(parents=True)
        (before / "rows").write_text(name)
    run_stage("start", NIGHT)
    record_version(NIGHT, ["publish"])
    assert dvc(folder, "remote", "add", "--local", "-d", "store", "../remote").returncode == 0
    done = dvc(folder, "push", f"publish@{NIGHT}")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def recorded(pushed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace whose snapshot is recorded and pushed to a remote."""
    # hard links of snapshot and cache stay what they are; the remote is named from the workspace
    subprocess.run(["cp", "-a", f"{pushed}/.", str(tmp_path)], check=True)
    folder = tmp_path / "workspace"
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    settings.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


def _shard(workspace: Path) -> tuple[Path, str]:
    """Return where a shard lies and the md5 of its object."""
    version = dvc_version(NIGHT)
    listing = workspace / "work/dvc/cache/files/md5" / version[:2] / version[2:]
    entry = next(entry for entry in json.loads(listing.read_text()) if entry["relpath"].startswith("shards/train-"))
    return workspace / "work" / "snapshots" / NIGHT / entry["relpath"], str(entry["md5"])


def _damage(path: Path) -> None:
    """Flip a bit in the middle, as a disk would: size and time stamp stay."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 4]))
    path.chmod(0o444)


def _forget_cache(workspace: Path) -> None:
    shutil.rmtree(workspace / "work" / "snapshots" / NIGHT)
    shutil.rmtree(workspace / "work/dvc/cache/files")


@pytest.mark.fault(17)
def test_nobody_trains_on_a_damaged_shard_and_it_comes_back_from_the_remote(recorded: Path) -> None:
    shard, key = _shard(recorded)
    whole = shard.read_bytes()
    held = recorded / "work/dvc/cache/files/md5" / key[:2] / key[2:]
    _damage(held)  # a hard link: the snapshot has the damage too
    assert shard.read_bytes() != whole
    with pytest.raises(IntegrityError, match=shard.name):
        run_stage("train", NIGHT)
    assert not (recorded / "work" / "nights" / NIGHT / "train").exists()
    assert restore_snapshot(NIGHT) == shard.parents[1]
    assert shard.read_bytes() == held.read_bytes() == whole


@pytest.mark.fault(17)
def test_a_damaged_object_that_nobody_has_whole_is_named_and_its_shard_is_not_trained_on(recorded: Path) -> None:
    shard, key = _shard(recorded)
    assert dvc(recorded, "remote", "remove", "--local", "store").returncode == 0
    _damage(recorded / "work/dvc/cache/files/md5" / key[:2] / key[2:])
    with pytest.raises(IntegrityError, match=rf"{shard.name} \(object .*{key[2:]}"):
        restore_snapshot(NIGHT)
    with pytest.raises(IntegrityError, match=shard.name):
        run_stage("train", NIGHT)


@pytest.mark.fault(17)
def test_an_object_that_the_remote_lost_is_named_and_no_part_of_the_snapshot_is_left_for_training(
    recorded: Path, tmp_path: Path
) -> None:
    shard, key = _shard(recorded)
    _forget_cache(recorded)
    held = tmp_path / "remote/files/md5" / key[:2] / key[2:]
    content = held.read_bytes()
    held.unlink()
    with pytest.raises(ServiceError, match=key):
        restore_snapshot(NIGHT)
    assert not shard.exists()
    with pytest.raises(IntegrityError, match=NIGHT):
        run_stage("train", NIGHT)
    held.write_bytes(content)
    verify_folder(restore_snapshot(NIGHT))


@pytest.mark.fault(17)
def test_bringing_a_snapshot_back_waits_for_the_lock_no_longer_than_it_may(recorded: Path) -> None:
    _forget_cache(recorded)
    with held(recorded), pytest.raises(ServiceError, match=r"another DVC process.*\.dvc/tmp/lock"):
        restore_snapshot(NIGHT, wait_s=2)
    verify_folder(restore_snapshot(NIGHT))
