"""Text of a dump is shown whole, and does nothing but be seen."""

from __future__ import annotations

import ast
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_texts import HOSTILE_TEXTS, STEERING
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.table import Table

from ecclip.core import Terminal, shown, shown_json, shown_markdown

ROOT = Path(__file__).parents[3]


@given(st.text())
def test_text_in_one_line_steers_nothing_and_keeps_what_can_be_seen(text: str) -> None:
    found = shown(text)
    assert STEERING.search(found) is None
    assert not {"\n", "\t"} & set(found)
    assert shown(found) == found
    found.encode()
    if text.isprintable() and text.isascii():
        assert found == text


@given(
    st.recursive(
        st.text() | st.floats(allow_nan=False) | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_stays_json(value: object) -> None:
    text = shown_json(value)
    assert json.loads(text) == value
    assert STEERING.search(text) is None
    text.encode()


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_the_console_prints_text_as_it_is_alone_and_in_a_table(text: str) -> None:
    for value in (text, shown(text)):
        console = Terminal(width=200)
        console.file = io.StringIO()
        table = Table("title", title=value)
        table.add_row(value)
        console.print(value)
        console.print(table)
        printed = console.file.getvalue()
        assert STEERING.search(printed) is None
        assert printed.count(shown(value, lines=True).split("\n")[0].split("\t")[0]) >= 3


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    page = (
        MarkdownIt("commonmark", {"html": True})
        .enable("table")
        .render(f"| name | n |\n|---|---|\n| {shown_markdown(text)} | 1 |\n")
    )
    for mark in ("<script", "<img", "<a ", "<em", "<h1", "<code"):
        assert mark not in page
    assert page.count("<td>") == 2


def test_a_log_line_on_a_terminal_steers_nothing() -> None:
    code = (
        "import sys\nfrom ecclip.core import configure_logging, get_logger\nconfigure_logging(night='2026-11-01')\n"
        "get_logger().warning('title \\x1b]0;owned\\x07', title='\\x9b31m \\u202e [free gift]', many=['\\x1b[2J'])\n"
        "try:\n    raise ValueError('\\x1b]0;owned\\x07')\nexcept ValueError:\n    get_logger().exception('failed')\n"
    )
    main, other = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    child = subprocess.run([sys.executable, "-c", code], stderr=other, env=environment, check=True)
    os.close(other)
    written = b""
    while block := _read(main):
        written += block
    os.close(main)
    text = written.decode()
    assert child.returncode == 0
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "[free gift]" in text
    assert r"\x1b]0;owned\x07" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # how Linux says that the other end of a terminal is closed
        return b""


def test_an_error_that_nobody_foresaw_steers_nothing() -> None:
    code = (
        "import ecclip.cli\n"
        "def app():\n    raise KeyError('\\x9b31m') from ValueError('\\x1b]0;owned\\x07 [free gift]')\n"
        "ecclip.cli.app = app\necclip.cli.main()\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert STEERING.search(child.stderr) is None
    assert "[free gift]" in child.stderr


def test_there_is_one_console_and_nobody_prints_beside_it() -> None:
    """A console with markup, or a bare print, would bring back what this file is about."""
    found = []
    for path in sorted((ROOT / "ecclip").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in ("Console", "print_json", "from_markup") or (
                    name == "print" and isinstance(node.func, ast.Name)
                ):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert found == []
