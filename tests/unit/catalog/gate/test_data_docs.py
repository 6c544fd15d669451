"""The pages of Great Expectations hold names of a dump as text, whatever the names are."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hostile_texts import HOSTILE_TEXTS

from ecclip.catalog.gate.expectations import Rule, Table, plain, validate

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, and the code and addresses in it."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.code: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self.code += [value or "" for name, value in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.code.append(data)
        else:
            self.text += data


def _structure(docs: Path) -> Structure:
    found = Structure()
    for path in sorted(docs.rglob("*.html")):
        found.feed(path.read_text())
    return found


def _judged(names: list[str], docs: Path) -> Structure:
    rules = [Rule.within(f"label/attribute/{name}", None, 0.5) for name in names]
    frame = pd.DataFrame([{rule.name: float(place % 2) for place, rule in enumerate(rules)}])
    outcomes = validate([Table("metrics", frame, rules)], docs)
    assert [outcome.name for outcome in outcomes] == [rule.name for rule in rules]
    assert [outcome.passed for outcome in outcomes] == [place % 2 == 0 for place in range(len(rules))]
    return _structure(docs)


def test_names_of_a_dump_add_no_element_no_handler_and_no_address(tmp_path: Path) -> None:
    hostile = _judged(HOSTILE_TEXTS, tmp_path / "hostile")
    harmless = _judged([f"colour {number:02d}" for number in range(len(HOSTILE_TEXTS))], tmp_path / "harmless")
    assert sorted(hostile.elements) == sorted(harmless.elements)
    assert not any("evil.example" in value or "javascript:alert" in value for value in hostile.addresses)
    assert not any("alert(" in code for code in hostile.code)
    for name in HOSTILE_TEXTS:
        assert plain(f"label/attribute/{name}") in hostile.text.replace("\n", "")


def test_different_names_stay_different_and_plain_ones_as_they_are() -> None:
    names = [*HOSTILE_TEXTS, "%3Cscript", "<script", "색상", "price_shift/KRW", "label/category/home/mugs"]
    assert len({plain(name) for name in names}) == len(names)
    assert [plain(name) for name in names[-3:]] == names[-3:]
