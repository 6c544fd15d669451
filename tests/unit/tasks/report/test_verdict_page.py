"""The bundle's page with the gate's verdict on it."""

from __future__ import annotations

from ecclip.tasks import with_verdict

CELL = {
    "cell": "category/both", "against": "the champion", "metric": "top1", "rows": 40, "ours": 0.8, "other": 0.9,
    "difference": -0.1, "low": -0.2, "high": -0.05, "reason": "worse",
}  # fmt: skip
METRIC = {
    "metric": "category/both/top1", "challenger": 0.8, "champion": None, "floor": 0.3, "allowed_drop": None,
    "rows": 40, "reason": "",
}  # fmt: skip
VERDICT = {
    "passed": False,
    "champion": "3",
    "reasons": ("<b>category</b>/both: worse",),
    "notes": (),
    "compared": (METRIC,),
    "cells": (CELL, {**CELL, "against": "the frozen start", "low": 0.01, "high": 0.2, "difference": 0.1}),
}


def test_the_verdict_stands_where_the_page_has_room_for_it_and_is_escaped() -> None:
    page = with_verdict("<main>before<!-- verdict -->after</main>", VERDICT)
    assert page.startswith("<main>before<section")
    assert page.endswith("after</main>")
    assert "refused" in page
    assert "&lt;b&gt;category&lt;/b&gt;/both: worse" in page
    assert page.count('class="worse"><b>-0.100') == page.count('class="best"><b>+0.100') == 1
    assert "Beside the frozen start" in page


def test_a_page_of_an_earlier_version_gets_it_at_its_end() -> None:
    first = {**VERDICT, "passed": True, "champion": None, "reasons": (), "cells": ()}
    page = with_verdict("<html>old</html>", first)
    assert page.startswith("<html>old</html>")
    assert "may become champion" in page
    assert "there was no champion to compare with" in page
