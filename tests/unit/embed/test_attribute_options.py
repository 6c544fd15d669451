"""The file of attributes with given options: what is wrong in it is said with its line, value and next step."""

from __future__ import annotations

from pathlib import Path

import pytest
from snapshots import write_snapshot

from ecclip.core import ConfigError
from ecclip.embed.attribute_options import known_categories, read_attribute_options
from ecclip.formats.policies.options import AttributeOptions

CATEGORIES = {("Clothing",), ("Clothing", "Shirts"), ("Home",), ("Home", "Lamps")}
OPTIONS = """\
version: 2
attributes:
  pattern:
    names: {de: Muster}
    categories: [Clothing > Shirts, [Home]]
    options:
      plain:
      striped: with stripes of two colours
      floral:
        names: {de: geblümt}
        descriptions: [with flowers, with buds]
  closure:
    options: [zip, magnet, open]
"""


def options_of(tmp_path: Path, text: str = OPTIONS) -> AttributeOptions:
    (tmp_path / "mine.yaml").write_text(text)
    return read_attribute_options(tmp_path, "mine.yaml", CATEGORIES)


def test_options_come_as_names_as_descriptions_and_whole(tmp_path: Path) -> None:
    pattern, closure = options_of(tmp_path).attributes
    assert [one.name for one in pattern.options] == ["plain", "striped", "floral"]
    assert pattern.categories == (("Clothing", "Shirts"), ("Home",))
    assert pattern.prompts == [
        ["a photo of a product, pattern: plain"],
        ["a photo of a product, pattern: striped", "with stripes of two colours"],
        [
            *(f"a photo of a product, {one}" for one in ("pattern: floral", "Muster: geblümt")),
            "with flowers",
            "with buds",
        ],
    ]
    assert [one.name for one in closure.options] == ["zip", "magnet", "open"]
    assert closure.applies_to(None)
    assert [pattern.applies_to(path) for path in (["Home", "Lamps"], ["Clothing"], None)] == [True, False, False]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[zip, magnet, open]", "[zip, magnet, zip]", r"the option zip stands twice.*mine\.yaml:13"),
        ("[zip, magnet, open]", "[zip, magnet, ' ZIP']", r"two options of closure.*zip and.*mine\.yaml:13.*'ZIP'"),
        ("{de: geblümt}", "{de: Plain}", r"one name: plain and floral.*mine\.yaml:9.*'Plain'"),
        ("      plain:\n", "      striped:\n", r"striped stands here and in line 7"),
        ("[zip, magnet, open]", "[zip]", r"at least 2 items.*mine\.yaml:13"),
        ("[zip, magnet, open]", "[yes, no]", r"option True is no text.*mine\.yaml:13.*quote"),
        (
            "Clothing > Shirts",
            "Clothing > Skirts",
            r"pattern names a cat.*mine\.yaml:5.*Skirts.*such as Clothing > S",
        ),
        ("    names: {de: Muster}", "    title: Muster", r"title.*mine\.yaml:4.*Muster"),
        ("descriptions: [with", "description: [with", r"floral\.description.*mine\.yaml:11"),
        ("  closure:", "  Pattern:", r"pattern and Pattern are one attribute.*mine\.yaml:12"),
        ("version: 2", "version: new", r"version.*mine\.yaml:1.*new"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_the_next_step(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in OPTIONS
    with pytest.raises(ConfigError, match=f"(?s){said}") as error:
        options_of(tmp_path, OPTIONS.replace(old, new))
    assert "next:" in str(error.value)


@pytest.mark.parametrize("name", ["other.yaml", "../mine.yaml"])
def test_a_file_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.yaml").write_text(OPTIONS)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "age.yaml").write_text("version: 1\n")
    with pytest.raises(ConfigError, match=r"limit: age\.yaml; next: set embed\.attribute_options"):
        read_attribute_options(tmp_path / "policies", name, CATEGORIES)


def test_categories_of_a_night_are_those_of_its_listings_at_every_level(tmp_path: Path) -> None:
    found = known_categories(write_snapshot(tmp_path / "2026-01-01", listings=12))
    assert {("fashion",), ("fashion", "shoes"), ("fashion", "shoes", "sneakers")} <= found
    assert () not in found
