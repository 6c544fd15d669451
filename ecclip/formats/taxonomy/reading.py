"""The file that people write: YAML with an entry per category, refused with the line of what is wrong in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ecclip.core import ConfigError
from ecclip.core.edited import place_in, read_edited
from ecclip.formats.taxonomy.tree import Category, Taxonomy, spelling

_FORBIDDEN = (">", "\n", "\t")  # between the levels of a path, as dumps and people write it
_NEXT_STEP = "correct it, and see docs/how-to/bring-your-taxonomy.md"


class _Entry(BaseModel):
    """One category of the file, under its id."""

    model_config = ConfigDict(extra="forbid", strict=True)
    parent: str | int | None = None
    names: str | dict[str, str]
    synonyms: list[str] = []
    description: str = ""


class _File(BaseModel):
    """The file; of ``languages`` the first is the one that every category has a name in."""

    model_config = ConfigDict(extra="forbid", strict=True)
    version: str | int | float
    languages: list[str] = Field(min_length=1)
    categories: dict[str | int, _Entry] = Field(min_length=1)


def read_taxonomy_file(path: Path) -> Taxonomy:
    """Return the taxonomy of a file.

    Raises:
        ConfigError: it cannot be read, or is no taxonomy: an unknown parent, a cycle, a name that two categories below
            one parent have, no name in the first language, nothing at all; names value, limit and line.
    """
    given = _valid(path)
    languages = tuple(given.languages)
    entries = {str(name): entry for name, entry in given.categories.items()}
    named = {name: _names(path, name, entry, languages) for name, entry in entries.items()}
    categories = {
        name: Category(
            name,
            None if entry.parent is None else str(entry.parent),
            named[name],
            tuple(entry.synonyms),
            " ".join(entry.description.split()),
        )
        for name, entry in entries.items()
    }
    ordered = {name: categories[name] for name in _parents_first(path, categories)}
    _refuse_twins(path, ordered)
    return Taxonomy(str(given.version), languages, ordered)


def _valid(path: Path) -> _File:
    content = read_edited(path, _NEXT_STEP)
    if not content.get("categories"):
        raise _wrong(path, "it has no category", limit="categories: {mugs: {names: Mugs}}")
    try:
        return _File.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        names = [str(name) for name in first["loc"] if name not in ("[key]", "str", "int", "dict[str,str]")]
        raise _wrong(path, f"{'.'.join(names)}: {first['msg']}", *names, value=repr(first["input"])[:80]) from error


def _names(path: Path, name: str, entry: _Entry, languages: tuple[str, ...]) -> dict[str, str]:
    """Return a category's names by language; one text alone is that of the first language."""
    given = {languages[0]: entry.names} if isinstance(entry.names, str) else entry.names
    place = ("categories", name, "names")
    if unknown := sorted(given.keys() - {*languages}):
        raise _wrong(
            path,
            f"a name of {name} is in no language of the taxonomy",
            *place,
            value=unknown[0],
            limit=", ".join(languages),
        )
    if languages[0] not in given:
        raise _wrong(
            path,
            f"{name} has no name in the first language",
            *place,
            value=", ".join(given) or "no name",
            limit=languages[0],
        )
    for word in (*given.values(), *entry.synonyms):
        if not word.strip() or any(one in word for one in _FORBIDDEN):
            raise _wrong(
                path,
                f"a name of {name} is empty or holds a character that separates levels",
                *place,
                value=repr(word),
                limit="text on one line without >",
            )
    return {language: " ".join(given[language].split()) for language in languages if language in given}


def _parents_first(path: Path, categories: Mapping[str, Category]) -> Iterator[str]:
    """Yield every id after that of its parent, otherwise in the order of the file."""
    done: dict[str, None] = {}
    for name in categories:
        way: list[str] = []
        at: str | None = name
        while at is not None and at not in done:
            if at in way:
                circle = " > ".join(reversed([*way[way.index(at) :], at]))
                raise _wrong(path, "categories stand below themselves", "categories", at, "parent", value=circle)
            way.append(at)
            parent = categories[at].parent
            if parent is not None and parent not in categories:
                raise _wrong(
                    path,
                    f"the parent of {at} is no category",
                    *("categories", at, "parent"),
                    value=parent,
                    limit="an id of the file",
                )
            at = parent
        done.update(dict.fromkeys(reversed(way)))
    yield from done


def _refuse_twins(path: Path, categories: Mapping[str, Category]) -> None:
    """Refuse two categories below one parent that a word names both: no path could say which is meant."""
    seen: dict[tuple[str | None, str], str] = {}
    for name, one in categories.items():
        for word in {*map(spelling, (*one.names.values(), *one.synonyms, name))}:
            other = seen.setdefault((one.parent, word), name)
            if other != name:
                raise _wrong(
                    path,
                    f"{other} and {name}, below one parent, have a name in common",
                    *("categories", name, "names"),
                    value=word,
                    limit="every name and synonym once below a parent",
                )


def _wrong(path: Path, what: str, *names: str, value: Any = None, limit: Any = None) -> ConfigError:
    return ConfigError(
        f"the taxonomy {path.name} cannot be used: {what}",
        value=value,
        limit=limit,
        next_step=f"edit {place_in(path, *names)}; {_NEXT_STEP}",
    )
