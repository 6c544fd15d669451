"""A file that people edit is read, or refused with its name, the line and the next step."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ecclip.core import ConfigError
from ecclip.core.edited import place_in, read_edited

PARAMS = Path(__file__).parents[3] / "params.yaml"
TEXT = "# a word\nsample: {listings: 9}\ntrain:\n  trainer:\n    epochs: 2\n"


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_edited(path, "mend it")
    assert error.value.next_step == "mend it"
    assert str(error.value.value).startswith(str(path))
    return f"{error.value.what} {str(error.value.value).removeprefix(str(path))}"


@pytest.mark.parametrize(
    ("added", "line", "words"),
    [
        ("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n", 6, "conflict of a merge"),
        ("a: 2\n>>>>>>> other\n", 7, "conflict of a merge"),
        ("sample: {}\n", 6, "sample stands here and in line 2"),
        ("land: {fetch: {a: 1, a: 1}}\nb: [{c: 1}, {c: 1,\n  c: 2}]\n", 6, "a stands here and in line 6"),
        ("land: {fetch: 1\n", 7, "expected"),
        ("land: [1, 2\nclean: 3\n", 7, "expected"),
        ("\tland: 1\n", 6, "tab"),
        ("land: a\0b\n", 6, "YAML forbids"),
        ("land: caf\xe9\n", 6, "not text in UTF-8"),
        ("land: 1", 6, "has no end"),
        ("land: !!python/object:os.system 1\n", 6, "constructor"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, added: str, line: int, words: str) -> None:
    assert (found := refused(tmp_path / "params.yaml", (TEXT + added).encode("latin-1"))).endswith(f" :{line}"), found
    assert words in found


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty"), (b"\n \n", "empty"), (b"- 1\n", "list"), (b"a\n", "str")]
)
def test_what_is_no_table_of_names_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(tmp_path / "params.yaml", content)


def test_a_date_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "day" in refused(tmp_path / "nights.yaml", b"nights:\n  2026-02-31: {previous: none}\n")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml cannot be read.*No such file.*next: mend it"):
        read_edited(tmp_path / "params.yaml", "mend it")


def test_what_is_whole_is_read_as_yaml_reads_it(tmp_path: Path) -> None:
    for text in (TEXT, PARAMS.read_text(), "# all of it stands by default\n", "{}", TEXT.replace("\n", "\r\n")):
        (tmp_path / "params.yaml").write_bytes(text.encode())
        assert read_edited(tmp_path / "params.yaml", "") == (yaml.safe_load(text) or {})


def test_a_file_cut_anywhere_within_a_line_is_refused(tmp_path: Path) -> None:
    text = PARAMS.read_bytes()[:3000]
    for end in [end for end in range(1, len(text), 7) if not text[:end].endswith((b"\n", b"}"))]:
        assert " :" in refused(tmp_path / "params.yaml", text[:end])


def test_a_value_has_a_place(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    places = [place_in(path, *names) for names in (["train", "trainer", "epochs"], ["train", "towers"], ["land"])]
    assert places == [f"{path}:5", f"{path}:3", str(path)]
