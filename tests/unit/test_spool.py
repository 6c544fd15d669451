"""The spool of a training: whole lines, every step of a name once, and no waiting."""

from __future__ import annotations

import json
import math
import resource
from pathlib import Path

import pytest

from ecclip.spool import Entry, Spool, read_spool


def _values(path: Path) -> list[tuple[int, str, float]]:
    return [(entry.step, name, value) for entry in read_spool(path) for name, value in entry.values.items()]


def _filled(path: Path, steps: int) -> Path:
    spool = Spool(path)
    for step in range(steps):
        spool.add(step, {"train/loss": step / 3})
    spool.close()
    return path


def test_what_is_written_is_read_with_bits_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    moments = iter((1_000_000_000, 2_000_000_000, 3_999_999_999))
    monkeypatch.setattr("ecclip.spool.time.time_ns", lambda: next(moments))
    spool = Spool(path)
    spool.mark("RUNNING")
    spool.add(1, {"a": 0.1, "b": 1e-300})
    spool.mark("FINISHED")
    spool.close()
    entries = list(read_spool(path))
    assert [(entry.step, entry.values, entry.status) for entry in entries] == [
        (0, {}, "RUNNING"),
        (1, {"a": 0.1, "b": 1e-300}, None),
        (0, {}, "FINISHED"),
    ]
    assert [entry.time for entry in entries] == [1_000, 2_000, 3_999]
    assert entries[-1].end == path.stat().st_size


def test_a_repeated_step_keeps_the_first_value_and_its_time(tmp_path: Path) -> None:
    path = _filled(tmp_path / "metrics.jsonl", 5)
    first = list(read_spool(path))
    spool = Spool(path)
    for step in range(3, 7):
        spool.add(step, {"train/loss": step / 3, "speed/pairs": 1.0})
    spool.close()
    assert list(read_spool(path))[:5] == first
    losses = [(step, value) for step, name, value in _values(path) if name == "train/loss"]
    assert losses == [(step, step / 3) for step in range(7)]
    assert [step for step, name, _ in _values(path) if name == "speed/pairs"] == [3, 4, 5, 6]


@pytest.mark.parametrize("cut", [1, 2, 20, 46])
def test_a_torn_last_line_is_cut_and_the_step_is_written_again(tmp_path: Path, cut: int) -> None:
    path = _filled(tmp_path / "metrics.jsonl", 4)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert [step for step, _, _ in _values(path)] == [0, 1, 2]
    spool = Spool(path)
    spool.add(2, {"train/loss": 2 / 3})
    spool.add(3, {"train/loss": 3 / 3})
    spool.close()
    assert _values(path) == [(step, "train/loss", step / 3) for step in range(4)]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_line_that_is_no_entry_is_passed_over(tmp_path: Path) -> None:
    path = _filled(tmp_path / "metrics.jsonl", 2)
    with path.open("ab") as file:
        file.write(b'\0\0\0\0\n[1]\n{"time": 1, "values": {"a": "x"}}\n')
    assert len(list(read_spool(path))) == 2
    spool = Spool(path)
    spool.add(2, {"train/loss": 2 / 3})
    spool.close()
    assert [step for step, _, _ in _values(path)] == [0, 1, 2]


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    path = _filled(tmp_path / "metrics.jsonl", 4)
    middle = list(read_spool(path))[1]
    assert isinstance(middle, Entry)
    assert [entry.step for entry in read_spool(path, middle.end)] == [2, 3]
    assert list(read_spool(tmp_path / "missing.jsonl")) == []


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    spool = Spool(path)
    spool.add(1, {"a": math.nan, "b": math.inf, "c": 2.0})
    spool.close()
    assert _values(path) == [(1, "c", 2.0)]


def test_a_full_disk_ends_no_training_and_nothing_is_lost_when_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool = Spool(path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
        for step in range(10):
            spool.add(step, {"train/loss": step / 3})
        assert isinstance(spool.error, OSError)
        assert path.stat().st_size <= 200
        assert len(list(read_spool(path))) == len(path.read_text().splitlines()) < 10
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    spool.add(10, {"train/loss": 10 / 3})
    spool.close()
    assert spool.error is None
    assert _values(path) == [(step, "train/loss", step / 3) for step in range(11)]
