"""A reader sees the old content, the new content or nothing; never half."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ecclip.atomic import (
    canonical_json,
    files_below,
    flush_folder,
    recover_folder,
    remove_tree,
    replace_folder,
    sha256_bytes,
    sha256_file,
    write_atomic,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, the example of one block
EXCHANGE = (-100, 2)  # AT_FDCWD and RENAME_EXCHANGE of Linux


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that were flushed to disk, in order."""
    paths: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    return paths


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A finished folder and the one whose place it takes."""
    for name, file in (("temporary", "new.txt"), ("final", "old.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(name)
    return tmp_path / "temporary", tmp_path / "final"


def system_without_exchange(monkeypatch: pytest.MonkeyPatch, number: int | None) -> list[tuple[object, ...]]:
    """Stand in for a C library that has no renameat2 (None), or whose renameat2 fails with an error number."""
    calls: list[tuple[object, ...]] = []

    def renameat2(*arguments: object) -> int:
        calls.append(arguments)
        ctypes.set_errno(number or 0)
        return -1

    def library(name: None, use_errno: bool) -> SimpleNamespace:
        assert use_errno, "otherwise nobody learns why a call failed"
        return SimpleNamespace() if number is None else SimpleNamespace(renameat2=renameat2)

    monkeypatch.setattr(ctypes, "CDLL", library)
    return calls


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_failed_write_keeps_the_old_content_and_leaves_no_temporary_file(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, "old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_file_is_made_with_its_folders_and_on_disk_before_its_name_is(tmp_path: Path, flushed: list[Path]) -> None:
    write_atomic(tmp_path / "a" / "b" / "data.bin", b"\xff\x00")
    write_atomic(tmp_path / "a" / "b" / "text", "süß")
    assert (tmp_path / "a" / "b" / "data.bin").read_bytes() == b"\xff\x00"
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "süß".encode()
    assert [path.parent for path in flushed[::2]] == [tmp_path / "a" / "b"] * 2
    assert flushed[1::2] == [tmp_path / "a" / "b"] * 2


def test_a_file_has_the_mode_that_was_asked_for_whatever_a_killed_writer_left(tmp_path: Path, open_umask: None) -> None:
    write_atomic(tmp_path / "plain", "")
    write_atomic(tmp_path / "secret", "", mode=0o600)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "secret")]
    assert modes == [0o666, 0o600]


def test_replacing_a_folder_leaves_only_the_new_files(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    replace_folder(*pair)
    assert names(tmp_path) == ["final", "final/new.txt"]


def test_a_folder_that_replaces_nothing_gets_its_name_after_its_content_is_on_disk(
    tmp_path: Path, pair: tuple[Path, Path], flushed: list[Path]
) -> None:
    temporary, _ = pair
    replace_folder(temporary, tmp_path / "other")
    assert names(tmp_path) == ["final", "final/old.txt", "other", "other/new.txt"]
    assert set(flushed[:-1]) == {temporary, temporary / "new.txt"}
    assert flushed[-1] == tmp_path


def test_folders_change_places_by_one_call_that_names_both(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = system_without_exchange(monkeypatch, errno.EINVAL)
    replace_folder(*pair)
    here, exchange = EXCHANGE
    assert calls == [(here, os.fsencode(pair[0]), here, os.fsencode(pair[1]), exchange)]
    assert names(tmp_path) == ["final", "final/new.txt"], "where that is not supported the old one steps aside"


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_an_exchange_the_old_folder_steps_aside_until_the_new_one_is_there(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, flushed: list[Path], number: int | None
) -> None:
    system_without_exchange(monkeypatch, number)
    moves, rename = [], Path.rename

    def record(path: Path, target: Path) -> Path:
        moves.append((path.name, target.name))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", record)
    replace_folder(*pair)
    aside = f".final.old-{os.getpid()}"
    assert moves == [("final", aside), ("temporary", "final"), (aside, "temporary")]
    assert flushed[-2:] == [tmp_path, tmp_path]
    assert names(tmp_path) == ["final", "final/new.txt"]


def test_an_exchange_that_is_refused_says_why_and_names_both_folders(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    system_without_exchange(monkeypatch, errno.EACCES)
    with pytest.raises(PermissionError) as caught:
        replace_folder(*pair)
    error = caught.value
    assert (error.errno, error.strerror) == (errno.EACCES, os.strerror(errno.EACCES))
    assert (error.filename, error.filename2) == (str(pair[0]), str(pair[1]))
    assert names(tmp_path) == ["final", "final/old.txt", "temporary", "temporary/new.txt"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    system_without_exchange(monkeypatch, None)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == pair[0]:
            raise OSError(errno.EBUSY, "busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="busy"):
        replace_folder(*pair)
    assert names(tmp_path) == ["final", "final/old.txt", "temporary", "temporary/new.txt"]


@pytest.mark.parametrize("name", ["final", "fi[n]al*"])
def test_what_a_killed_writer_left_is_brought_back_or_removed_and_neighbours_stay(
    tmp_path: Path, flushed: list[Path], name: str
) -> None:
    aside, leftover, neighbour = (tmp_path / f".{one}" for one in (f"{name}.old-1", f"{name}.tmp-2", "another.tmp-3"))
    for path in (aside, leftover, neighbour):
        path.mkdir()
        (path / "part").write_text(path.name)
    assert recover_folder(tmp_path / name) == [aside, leftover]
    assert (tmp_path / name / "part").read_text() == aside.name
    assert flushed == [tmp_path]
    assert names(tmp_path) == sorted([neighbour.name, f"{neighbour.name}/part", name, f"{name}/part"])

    aside.mkdir()
    assert recover_folder(tmp_path / name) == [aside]
    assert (tmp_path / name / "part").read_text() == aside.name, "what took the place stays"
    assert not aside.exists()


def test_flushing_a_folder_reaches_everything_below_it_and_follows_no_link(tmp_path: Path, flushed: list[Path]) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").touch()
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "outside").touch()
    (folder / "link").symlink_to(tmp_path / "outside")
    flush_folder(folder)
    assert sorted(flushed) == [folder, folder / "below", folder / "below" / "file"]


def test_removing_a_link_leaves_what_it_names_and_removing_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("link", "nothing"):
        remove_tree(tmp_path / name)
    assert names(tmp_path) == ["kept", "kept/file"]
    remove_tree(tmp_path / "kept" / "file")
    remove_tree(tmp_path / "kept")
    assert names(tmp_path) == []


def test_the_files_of_a_folder_are_those_that_its_manifest_lists(tmp_path: Path) -> None:
    for name in ("b", "a/manifest.json", "manifest.json", "a/__pycache__/module.pyc"):
        write_atomic(tmp_path / name, "")
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == ["a/manifest.json", "b"]


def test_equal_values_have_one_json_text() -> None:
    assert canonical_json({"b": 1, "a": "ü"}) == canonical_json({"a": "ü", "b": 1}) == '{\n "a": "ü",\n "b": 1\n}\n'


def test_digests_are_sha256_in_hex(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "file") == ABC
