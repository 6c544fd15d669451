"""Names of categories in the language asked for, and their ids, by the taxonomy that a bundle carries.

Needs the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Path = tuple[str, ...]


class CategoryNames:
    """Ids and names of the paths of a taxonomy, as heads.json describes it; empty: paths are those of the dump."""

    def __init__(self, taxonomy: Mapping[str, Any]) -> None:
        self._categories: dict[str, Mapping[str, Any]] = {one["id"]: one for one in taxonomy.get("categories", ())}
        self._languages: list[str] = list(taxonomy.get("languages", ()))
        self._paths: dict[str, Path] = {}
        for name, one in self._categories.items():  # parents come first
            above = self._paths[one["parent"]] if one["parent"] else ()
            self._paths[name] = (*above, one["names"][self._languages[0]])
        self._ids = {path: name for name, path in self._paths.items()}

    def id_of(self, path: Path) -> str:
        """Return the id of a path in the first language; empty where the taxonomy does not have it."""
        return self._ids.get(path, "")

    def path(self, path: Path, language: str | None) -> list[str]:
        """Return a path's names in a language, by its tag: ``pt-BR`` is ``pt`` where that is what the taxonomy has.

        A name that is not there in it, and every name in a language that the taxonomy lacks, is in the first one.
        """
        spoken = spoken_tag(language, self._languages)
        if spoken is None or path not in self._ids:
            return list(path)
        return [self._name(path[: level + 1], spoken) for level in range(len(path))]

    def _name(self, path: Path, language: str) -> str:
        name: str = self._categories[self._ids[path]]["names"].get(language, path[-1])
        return name


def spoken_tag(language: str | None, languages: Iterable[str]) -> str | None:
    """Return which of ``languages`` is meant by a tag: the same, or that of fewer parts (RFC 4647, lookup)."""
    wanted = (language or "").replace("_", "-").lower().split("-")
    known: Mapping[str, str] = {one.replace("_", "-").lower(): one for one in languages}
    tags: Sequence[str] = ["-".join(wanted[:count]) for count in range(len(wanted), 0, -1)]
    return next((known[tag] for tag in tags if tag in known), None)
