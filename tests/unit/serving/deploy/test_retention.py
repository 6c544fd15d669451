"""Old versions leave the model repository, the live one and the one before never; a damaged one blocks nobody."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_bundles import tiny_bundle

from ecclip.core import digest_of, settings
from ecclip.serving import EngineConfig, Repository, Target, blessed_version, stage_bundle
from ecclip.serving.deploy.activation import warm_versions
from ecclip.serving.deploy.retention import prune


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six versions, of which 6 answers and 2 answered before."""
    repository = Repository(tmp_path_factory.mktemp("six") / "work" / "model_repository")
    for version in range(1, 7):
        repository.stage(tiny_bundle(version % 2), version)
        repository.write_blessing(version, {"passed": True, "staged": repository.verify(version).digest})
    repository.commit(2)
    repository.commit(6)
    return repository.folder


@pytest.fixture
def repository(six: Path, tmp_path: Path) -> Repository:
    shutil.copytree(six.parent, tmp_path / "work")
    return Repository(tmp_path / "work" / "model_repository")


@pytest.fixture
def workspace(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(repository.folder.parents[1]))
    settings.cache_clear()
    yield repository.folder.parents[1]
    monkeypatch.undo()
    settings.cache_clear()


def _numbers(repository: Repository) -> set[int]:
    """Return the versions of which any file is left."""
    folders = {int(path.name) for path in repository.folder.glob("*/[0-9]*")}
    return folders | {int(path.stem.rpartition("-")[2]) for path in (repository.folder / ".state").glob("*-*")}


@pytest.mark.parametrize(("keep", "left"), [(0, {2, 6}), (2, {2, 4, 5, 6}), (9, {1, 2, 3, 4, 5, 6})])
def test_the_live_version_the_one_before_and_the_newest_others_stay(
    repository: Repository, keep: int, left: set[int]
) -> None:
    assert prune(repository, keep) == sorted({1, 2, 3, 4, 5, 6} - left)
    assert _numbers(repository) == left
    assert [repository.is_blessed(repository.verify(version)) for version in left] == [True] * len(left)
    assert prune(repository, keep) == []


def test_nothing_is_removed_before_a_version_is_live(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.stage(tiny_bundle(0), 1)
    assert prune(repository, 0) == []
    assert repository.verify(1)


def test_damaged_versions_and_folders_without_a_record_go_too(repository: Repository) -> None:
    (repository.folder / ".state" / "version-1.json").write_text("{")
    (repository.folder / "text_tower" / "9").mkdir()
    assert prune(repository, 2) == [1, 3, 9]
    assert _numbers(repository) == {2, 4, 5, 6}


def test_a_tower_on_a_gpu_goes_with_its_version(tmp_path: Path) -> None:
    repository = Repository(tmp_path, Target("onnxruntime", engine=EngineConfig()))
    for version in (1, 2):
        repository.stage(tiny_bundle(0), version)
        repository.configure(f"image_tower_{version}", [version])
    repository.commit(2)
    assert prune(repository, 0) == [1]
    assert not list(tmp_path.glob("*_tower_1"))
    assert repository.verify(2)


@pytest.mark.fault(18)
def test_a_removal_that_was_killed_is_completed_by_the_next_one(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_FAIL_POINT", "prune.forgotten")
    settings.cache_clear()
    child = os.fork()
    if child == 0:
        prune(repository, 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    monkeypatch.undo()
    settings.cache_clear()
    assert repository.staged(5) is None, "its record went first"
    assert (repository.folder / "text_tower" / "5").is_dir()
    assert prune(repository, 0) == [1, 3, 4, 5]
    assert _numbers(repository) == {2, 6}


@pytest.mark.fault(21)
@pytest.mark.parametrize("damage", ["record", "graph", "blessing"])
def test_a_damaged_old_version_blocks_no_other_and_its_bundle_gets_a_new_number(
    repository: Repository, workspace: Path, damage: str
) -> None:
    del workspace
    for version in (1, 3, 5):  # all versions of one bundle
        path = {
            "record": repository.folder / ".state" / f"version-{version}.json",
            "graph": repository.folder / "text_tower" / str(version) / "model.onnx",
            "blessing": repository.folder / ".state" / f"blessing-{version}.json",
        }[damage]
        path.write_bytes(path.read_bytes()[:-9])
    assert blessed_version(digest_of(tiny_bundle(1))) is None
    assert blessed_version(digest_of(tiny_bundle(0))) == 6
    again = 5 if damage == "blessing" else 7
    assert stage_bundle(tiny_bundle(1)).version == again
    assert stage_bundle(tiny_bundle(2)).version == max(again, 6) + 1


@pytest.mark.fault(21)
def test_a_damaged_version_that_is_to_be_loaded_is_whole_again_from_its_bundle_and_from_no_other(
    repository: Repository,
) -> None:
    folder, whole = repository.folder, repository.verify(2)
    for path in (folder / "text_tower/2/model.onnx", folder / "product/2/entry.json", repository.golden_path(2)):
        path.write_bytes(path.read_bytes()[:-9])
    (folder / "text_tower" / "2" / ".model.py.swp").touch()
    assert warm_versions(repository) == [6]
    shutil.copytree(tiny_bundle(1), repository.bundles / whole.bundle)
    assert warm_versions(repository) == [6]
    shutil.rmtree(repository.bundles)
    shutil.copytree(tiny_bundle(0), repository.bundles / whole.bundle)
    assert warm_versions(repository) == [6, 2]
    assert repository.verify(2) == whole
