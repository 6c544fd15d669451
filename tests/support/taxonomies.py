"""A taxonomy of the categories that tests know, in English and Korean; ids are the English names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ecclip.formats.taxonomy.tree import Category, Taxonomy


def in_korean(name: str) -> str:
    """Return what stands for a name in Korean: no translation, but another script."""
    return f"한 {name}"


def taxonomy_of(paths: Iterable[Sequence[str]], *, extra: Iterable[Category] = ()) -> Taxonomy:
    """Return the taxonomy of all categories on these paths, whose names are unique, and of ``extra`` ones."""
    found: dict[str, Category] = {}
    for path in paths:
        for level, name in enumerate(path):
            parent = path[level - 1] if level else None
            found[name] = Category(name, parent, {"en": name, "ko": in_korean(name)})
    return Taxonomy("test", ("en", "ko"), found | {one.id: one for one in extra})
