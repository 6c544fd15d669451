"""The file of corrections: appended whole or not at all, read in order, and never trusted."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecclip.errors import ContractError, EcclipError, IntegrityError
from ecclip.formats.corrections import Correction, append_corrections, in_effect, read_corrections

RED = Correction(
    listing_id="L 1", field="attributes", name="colour", old="blue", new="red", author="ann",
    at="2026-11-02T08:00:00+00:00", night="2026-11-01",
)  # fmt: skip
PATH = replace(RED, field="category", name="", old=None, new=["Home", "머그 > 컵"])
FILE = "corrections.jsonl"


def test_what_is_appended_is_read_in_order_and_the_latest_counts(tmp_path: Path) -> None:
    folder = tmp_path / "corrections"
    assert read_corrections(folder) == []
    append_corrections(folder, [RED, PATH])
    append_corrections(folder, [gone := replace(RED, new=None, author="ben")])
    assert read_corrections(folder) == [RED, PATH, gone]
    assert in_effect(read_corrections(folder)) == {RED.target: gone, PATH.target: PATH}


def test_a_line_that_a_kill_has_cut_off_is_no_line(tmp_path: Path) -> None:
    """At whichever byte: what was there before is there, and what comes after is whole."""
    append_corrections(tmp_path, [RED])
    before = (tmp_path / FILE).read_bytes()
    append_corrections(tmp_path, [PATH, RED])
    whole = (tmp_path / FILE).read_bytes()
    for length in range(len(whole)):
        (tmp_path / FILE).write_bytes(whole[:length])
        lost = [] if length < len(before) else [RED]
        assert read_corrections(tmp_path) == lost, length
        append_corrections(tmp_path, [PATH])
        assert read_corrections(tmp_path) == [*lost, PATH], length


def _append_many(folder: Path, author: str) -> None:
    for number in range(20):
        append_corrections(folder, [replace(RED, author=author, listing_id=f"{number}")] * 3)


def test_several_writers_lose_nothing_and_mix_nothing(tmp_path: Path) -> None:
    writers = [multiprocessing.get_context("fork").Process(target=_append_many, args=(tmp_path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()[1:]]
    assert [len({one["author"] for one in line}) for line in lines] == [1] * 40
    assert [one.listing_id for one in read_corrections(tmp_path) if one.author == "a"] == [
        str(number) for number in range(20) for _ in range(3)
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"field": "title"}, "'title'"),
        ({"field": "category"}, "'colour'"),
        ({"name": ""}, "attributes with a name"),
        ({"new": ["red"]}, "['red']"),
        ({"new": "re\nd"}, "re\\nd"),
        ({"new": "\ud800"}, "ud800"),
        ({"new": "r" * 5000}, "rrr"),
        ({"field": "category", "name": "", "new": []}, "[]"),
        ({"field": "category", "name": "", "new": "Home"}, "'Home'"),
        ({"field": "age_restricted", "name": "", "new": 1}, "true or false"),
        ({"author": ""}, "author"),
        ({"listing_id": None}, "listing_id"),
        ({"at": "\x1b[2J"}, "x1b"),
    ],
)
def test_a_label_that_no_snapshot_could_hold_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError) as raised:
        replace(RED, **change)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (1, '{"schema": "ecclip.corrections/9"}'),
        (1, "<<<<<<< HEAD"),
        (2, "=======" ),
        (2, '[{"listing_id": "L"}]'),
        (2, "[1]"),
        (2, "{}x"),
        (2, json.dumps([{**vars(RED), "field": "title"}])),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: int, text: str) -> None:
    append_corrections(tmp_path, [RED])
    lines = (tmp_path / FILE).read_text().splitlines()
    lines[line - 1] = text
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(EcclipError) as raised:
        read_corrections(tmp_path)
    assert str(tmp_path / FILE) in str(raised.value)
    assert ("line 1" if line == 1 else f"{FILE}:{line}") in str(raised.value)
    assert isinstance(raised.value, IntegrityError) == (line > 1)
