"""A taxonomy: categories with an id, names in several languages and a parent; snapshots and bundles carry it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ecclip.atomic import canonical_json, sha256_bytes
from ecclip.formats.documents import read_document, write_document

SCHEMA = "ecclip.taxonomy/1"
_FILE = "taxonomy.json"
_NEXT_STEP = "run publish of this night again"


@dataclass(frozen=True)
class Category:
    """One category: ``names`` by language, ``synonyms`` by which a dump may name it, and what it is, in words."""

    id: str
    parent: str | None
    names: Mapping[str, str]
    synonyms: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Taxonomy:
    """Categories by their id, each after its parent; the first of ``languages`` is the one that every name is in.

    ``version`` is what its keeper calls it.
    """

    version: str
    languages: tuple[str, ...]
    categories: Mapping[str, Category]

    @cached_property
    def digest(self) -> str:
        """Return the digest of the content."""
        return sha256_bytes(canonical_json(self.describe()).encode())

    @cached_property
    def children(self) -> dict[str | None, list[Category]]:
        """Return the categories below each id in their order; those below None are the roots."""
        found: dict[str | None, list[Category]] = {}
        for one in self.categories.values():
            found.setdefault(one.parent, []).append(one)
        return found

    @cached_property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """Return the names root to leaf, in the first language, by id."""
        found: dict[str, tuple[str, ...]] = {}
        for one in self.categories.values():
            found[one.id] = (*(found[one.parent] if one.parent else ()), one.names[self.languages[0]])
        return found

    @cached_property
    def leaves(self) -> list[str]:
        """Return the ids that nothing stands below."""
        return [name for name in self.categories if name not in self.children]

    def words(self, name: str) -> list[str]:
        """Return every word for a category: names in all languages, synonyms, and its id."""
        one = self.categories[name]
        return list(dict.fromkeys([*one.names.values(), *one.synonyms, name]))

    def ancestors(self, name: str) -> Iterator[str]:
        """Yield the ids above a category, the nearest first."""
        above = self.categories[name].parent
        while above is not None:
            yield above
            above = self.categories[above].parent

    def describe(self) -> dict[str, Any]:
        """Return the content as JSON has it."""
        categories = [
            {
                "id": one.id,
                "parent": one.parent,
                "names": dict(one.names),
                "synonyms": list(one.synonyms),
                "description": one.description,
            }
            for one in self.categories.values()
        ]
        return {"version": self.version, "languages": list(self.languages), "categories": categories}


def described(content: Mapping[str, Any]) -> Taxonomy:
    """Return the taxonomy that :meth:`Taxonomy.describe` has described."""
    categories = [Category(**one | {"synonyms": tuple(one["synonyms"])}) for one in content["categories"]]
    return Taxonomy(content["version"], tuple(content["languages"]), {one.id: one for one in categories})


def write_taxonomy(taxonomy: Taxonomy, folder: Path) -> None:
    """Write a taxonomy into a snapshot's folder."""
    write_document(folder / _FILE, SCHEMA, taxonomy.describe())


def read_taxonomy(folder: Path) -> Taxonomy | None:
    """Return the taxonomy of a snapshot; None where it has none, and categories are the paths of the dump.

    Raises:
        ContractError: it has a schema that this code does not know.
        IntegrityError: it cannot be read; names the file.
    """
    if not (folder / _FILE).is_file():
        return None
    return described(read_document(folder / _FILE, SCHEMA, _NEXT_STEP))


def spelling(name: str) -> str:
    """Return a name as names are compared: case and blanks make no difference."""
    return " ".join(name.casefold().split())


class Finder:
    """Finds the category that a shop means by a path of its own.

    By path: from a root down, each level by any word of a category (name in any language, synonym, id). Otherwise by
    name: the deepest of the shop's names that names a category, if it is one alone that the names above it fit best,
    and none of them names other categories only. What stands below it in the shop's path is finer than the taxonomy.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._taxonomy = taxonomy
        self._below: dict[tuple[str | None, str], str] = {}
        self._named: dict[str, list[str]] = {}
        for name, one in taxonomy.categories.items():
            for word in dict.fromkeys(map(spelling, taxonomy.words(name))):
                self._below[one.parent, word] = name
                self._named.setdefault(word, []).append(name)

    def find(self, path: Sequence[str]) -> str | None:
        """Return the id of a category; None where the names fit none, or several."""
        words = [spelling(name) for name in path]
        by_path = self._by_path(words)
        if by_path and by_path[-1] == len(words):
            return by_path[0]
        by_name = self._by_name(words)
        return by_name or (by_path[0] if by_path else None)

    def path(self, path: Sequence[str]) -> list[str] | None:
        """Return the path of the category that :meth:`find` finds, in the first language; None where it finds none."""
        name = self.find(path)
        return None if name is None else list(self._taxonomy.paths[name])

    def _by_path(self, words: Sequence[str]) -> tuple[str, int] | None:
        """Return the category at the end of the levels that fit from the root on, and how many do."""
        found: tuple[str, int] | None = None
        for level, word in enumerate(words, 1):
            below = self._below.get((found[0] if found else None, word))
            if below is None:
                break
            found = below, level
        return found

    def _by_name(self, words: Sequence[str]) -> str | None:
        for level in range(len(words), 0, -1):
            named = self._named.get(words[level - 1], [])
            if named:
                fits = {name: self._agreement(name, words[: level - 1]) for name in named}
                best = [name for name in named if fits[name] == max(fits.values()) and fits[name] >= 0]
                return best[0] if len(best) == 1 else None
        return None

    def _agreement(self, name: str, words: Sequence[str]) -> int:
        """Return how many of the words above a name name its ancestors; -1 where one names other categories alone."""
        above = {spelling(word) for one in self._taxonomy.ancestors(name) for word in self._taxonomy.words(one)}
        if any(word in self._named and word not in above for word in words):
            return -1
        return sum(word in above for word in words)
