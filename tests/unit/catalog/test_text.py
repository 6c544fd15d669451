"""Text cleaning repairs what sellers' systems break and leaves languages alone."""

from __future__ import annotations

import pytest

from ecclip.catalog._text import clean_text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Red&nbsp;&amp; <b>blue</b>  mug", "Red & blue mug"),
        ("caf\u00c3\u00a9", "café"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "Full width"),
        ("zero\u200bwidth\u0007 bell\n\ttab", "zerowidth bell tab"),
        ("노르빅 부츠", "노르빅 부츠"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
        ("<p> </p>", None),
        ("", None),
        (None, None),
    ],
)
def test_text_becomes_one_plain_line(raw: str | None, clean: str | None) -> None:
    assert clean_text(raw) == clean


def test_cleaning_twice_changes_nothing() -> None:
    once = clean_text("<div>SALE&#33;</div> &lt;Mug&gt; 50% ﬁne")
    assert once is not None
    assert clean_text(once) == once
