"""A reader sees the old content, the new content or nothing; never half."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecclip.atomic import canonical_json, files_below, replace_folder, write_atomic


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


def test_replacing_a_folder_leaves_only_the_new_files(tmp_path: Path) -> None:
    for name, file in (("final", "old.txt"), ("temporary", "new.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(name)
    replace_folder(tmp_path / "temporary", tmp_path / "final")
    assert [path.name for path in files_below(tmp_path)] == ["new.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_equal_values_have_one_json_text() -> None:
    assert canonical_json({"b": 1, "a": "ü"}) == canonical_json({"a": "ü", "b": 1})
