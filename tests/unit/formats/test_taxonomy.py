"""A taxonomy is read as it was written, refused with the line of what is wrong, and finds what a shop means."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecclip.core import ConfigError
from ecclip.formats.taxonomy.prompts import prompts_of
from ecclip.formats.taxonomy.reading import read_taxonomy_file
from ecclip.formats.taxonomy.tree import Finder, Taxonomy, read_taxonomy, write_taxonomy

HEAD = "version: 2026-11a\nlanguages: [en, ko]\n"
SHOP = (
    HEAD
    + """\
categories:
  mugs: {parent: kitchen, names: {en: Mugs, ko: 머그컵}, synonyms: [Tassen, coffee cups], description: "drink\\n it"}
  home: {names: {en: Home, ko: 홈}}
  kitchen: {parent: home, names: {en: Kitchen, ko: 주방}}
  47: {parent: home, names: Accessories}
  garden: {names: {en: Garden, ko: 정원}}
  gloves: {parent: garden, names: {en: Accessories, ko: 장갑}}
"""
)


def taxonomy(folder: Path, text: str = SHOP) -> Taxonomy:
    (folder / "shop.yaml").write_text(text)
    return read_taxonomy_file(folder / "shop.yaml")


def test_a_snapshot_gives_the_taxonomy_back_and_its_digest_is_that_of_the_content(tmp_path: Path) -> None:
    one = taxonomy(tmp_path)
    assert one.paths["mugs"] == ("Home", "Kitchen", "Mugs")
    assert one.leaves == ["mugs", "47", "gloves"]
    assert one.categories["mugs"].description == "drink it"
    assert read_taxonomy(tmp_path) is None
    write_taxonomy(one, tmp_path)
    assert read_taxonomy(tmp_path) == one
    assert taxonomy(tmp_path, "# the same\n" + SHOP).digest == one.digest
    assert taxonomy(tmp_path, SHOP.replace("정원", "뜰")).digest != one.digest


def test_a_category_is_called_by_its_names_its_synonyms_and_what_it_is(tmp_path: Path) -> None:
    called = prompts_of(taxonomy(tmp_path))
    assert called["mugs"] == [
        "a photo of Mugs, a kind of Kitchen",
        "a photo of 머그컵, a kind of 주방",
        "a photo of Tassen, a kind of Kitchen",
        "a photo of coffee cups, a kind of Kitchen",
        "drink it",
    ]
    assert called["47"] == ["a photo of Accessories, a kind of Home"]
    assert called["garden"] == ["a photo of Garden", "a photo of 정원"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (["Home", "Kitchen", "Mugs"], "mugs"),
        ([" home", "주방", "TASSEN"], "mugs"),
        (["Home", "Kitchen", "Mugs", "Espresso"], "mugs"),
        (["Everything", "coffee  cups"], "mugs"),
        (["47"], "47"),
        (["Accessories"], None),
        (["Shop", "정원", "Accessories"], "gloves"),
        (["Garden", "Mugs"], "garden"),
        (["Shop", "Garden", "Mugs"], None),
        (["Home", "Cellar"], "home"),
        (["Cellar"], None),
        ([], None),
    ],
)
def test_a_path_of_the_shop_is_found_by_path_or_by_a_name_that_fits_one_category(
    tmp_path: Path, path: list[str], found: str | None
) -> None:
    assert Finder(taxonomy(tmp_path)).find(path) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"it is empty.*shop\.yaml:1"),
        (HEAD, r"it has no category.*limit: categories.*shop\.yaml"),
        (SHOP.replace("parent: home, names: A", "parent: hime, names: A"), r"the parent of 47.*hime.*shop\.yaml:7;"),
        (SHOP.replace("home: {names", "home: {parent: mugs, names"), r"themselves; value: \w+( > \w+){3};.*:[456];"),
        (SHOP.replace("names: Accessories", "names: kitchen"), r"kitchen and 47.*in common; value: kitchen.*:7;"),
        (SHOP.replace("  garden:", "  home:"), r"home stands here and in line 5.*:8"),
        (SHOP.replace("{en: Garden, ko: 정원}", "{ko: 정원}"), r"garden has no name .*value: ko; limit: en.*:8;"),
        (SHOP.replace("ko: 정원", "fr: Jardin"), r"no language of the taxonomy; value: fr; limit: en, ko.*:8;"),
        (SHOP.replace("en: Garden", "en: A > B"), r"separates levels; value: 'A > B'.*:8;"),
        (SHOP.replace("synonyms: [Tassen", "synonym: [Tassen"), r"categories\.mugs\.synonym.*:4;"),
    ],
)  # fmt: skip
def test_what_is_no_taxonomy_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        taxonomy(tmp_path, text)
