"""Text cleaning repairs what sellers' systems break and leaves languages alone."""

from __future__ import annotations

import tracemalloc
import unicodedata
from itertools import groupby

import pytest

from ecclip.product_input import clean_text


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
        ("Vis 3½ × 1¼, 20 m² (10⁻³) ①", "Vis 3½ × 1¼, 20 m² (10⁻³) ①"),
        ("LumaTech™ Ⅳ® № 5 ﷺ", "LumaTech™ Ⅳ® № 5 ﷺ"),
        ("５００㎖ ２㎡ ﬁne ｶﾞﾗｽ ５℃ 𝐒𝐀𝐋𝐄 10µm", "500ml 2m² fine ガラス 5°C SALE 10μm"),
        ("5 kg 　x", "5 kg x"),
        ("café 한", "café 한"),
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


@pytest.mark.parametrize(
    "hostile",
    [
        "a" + "\u0301\u0316" * 80_000,
        "x" * 131_072,
        "<a" * 60_000,
        "&" * 131_072,
        "&amp;" * 26_000,
        "é" * 131_072,
        "Ã©" * 60_000,
    ],
    ids=["marks", "word", "tags", "ampersands", "entities", "letters", "broken"],
)
def test_long_text_is_cleaned_in_bounded_memory_and_stays_clean(hostile: str) -> None:
    tracemalloc.start()
    try:
        once = clean_text(hostile)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert clean_text(once) == once


def test_normalising_never_sorts_a_long_run_of_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    plain = unicodedata.normalize

    def watched(form: str, text: str) -> str:
        lengths = [sum(1 for _ in run) for is_mark, run in groupby(text, unicodedata.combining) if is_mark]
        runs.append(max(lengths, default=0))
        return plain(form, text)  # type: ignore[arg-type]

    monkeypatch.setattr(unicodedata, "normalize", watched)
    clean_text("a" + "\u0301" * 80_000)
    assert runs
    assert max(runs) <= 30
