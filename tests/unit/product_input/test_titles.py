"""What models read of a title: a function of the title alone, which a second time changes nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.product_input import title_text

_MESS = [
    "&amp;",
    "<b>",
    "</b>",
    "Ã©",
    "1,5L",
    "500ML",
    "ｍｌ",
    " ",
    "5",
    "&#",
    "33;",
    "é",
    "\u200b",
    "l",
    "TV",
    "½",
    "-",
]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("  <b>M&amp;M&#39;s</b>  500ML ", "M&M's 500 ml"),
        ("FREE SHIPPING!! SÃ¶t vÃ¤ska 1,5 L", "FREE SHIPPING!! Söt väska 1.5 l"),
        ("<p></p>", "<p></p>"),
        ("", ""),
    ],
)
def test_a_title_becomes_what_models_read(written: str, read: str) -> None:
    assert title_text(written) == read


@given(st.lists(st.sampled_from(_MESS), max_size=12).map("".join) | st.text(st.characters(codec="utf-8"), max_size=40))
def test_what_models_read_stays_what_it_is(title: str) -> None:
    once = title_text(title)
    assert title_text(once) == once


def test_a_worker_that_reads_clean_texts_needs_no_text_library() -> None:
    code = "import sys, ecclip.product_input; print(sorted({'ftfy', 'tokenizers', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
