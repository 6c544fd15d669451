"""The file of attributes with given options: YAML that a shop keeps in ``policies/``, checked line by line."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, Field

from ecclip.core import digest_of
from ecclip.embed.policy_files import STRICT, CategoryPath, PolicyFile, Text
from ecclip.formats.policies.options import AttributeOptions, GivenAttribute, Option, spelling
from ecclip.formats.snapshot import Snapshot
from ecclip.formats.taxonomy.tree import read_taxonomy

_PAGE = "docs/attributes.md"
_KIND = PolicyFile(
    "options of attributes",
    "embed.attribute_options",
    f"correct it, or remove embed.attribute_options; {_PAGE} has every name (quote numbers, yes and no)",
)
_EXAMPLE = f"see {_PAGE}"
Category = tuple[str, ...]  # a path, root to leaf


def _described(given: Any) -> Any:
    """Return an option that is its description alone, or nothing but its name, as one with every field."""
    if given is None:
        return {}
    return {"descriptions": [given]} if isinstance(given, str) else given


def _options(given: Any) -> Any:
    """Return a list of names as options without more; one that stands twice is refused, as a key of YAML is."""
    if not isinstance(given, list):
        return given
    if wrong := [one for one in given if not isinstance(one, str)]:
        raise ValueError(f"the option {wrong[0]!r} is no text")
    if twice := [name for name, count in Counter(given).items() if count > 1]:
        raise ValueError(f"the option {twice[0]} stands twice")
    return dict.fromkeys(given)


class _Strict(BaseModel):
    model_config = STRICT


class _Option(_Strict):
    names: dict[Text, Text] = {}
    descriptions: list[Text] = []


class _Attribute(_Strict):
    names: dict[Text, Text] = {}
    categories: list[CategoryPath] = []
    options: Annotated[
        dict[Text, Annotated[_Option, BeforeValidator(_described)]], Field(min_length=2), BeforeValidator(_options)
    ]


class _File(_Strict):
    version: Annotated[int, Field(ge=1)]
    attributes: Annotated[dict[Text, _Attribute], Field(min_length=1)]


def read_attribute_options(folder: Path, name: str, categories: Collection[Category]) -> AttributeOptions:
    """Return the attributes in the file ``name`` of the workspace's folder of policies.

    ``categories`` are the paths that there are, those of every level.

    Raises:
        ConfigError: there is no such file, or something in it is wrong: an unknown key or category, an attribute or an
            option twice, fewer than two options; names file and line, value and next step.
    """
    path = _KIND.find(folder, name, [], _EXAMPLE)
    found = _KIND.read(path, _File)
    _refuse_twins(path, found)
    _refuse_unknown(path, found, categories)
    return AttributeOptions(
        version=found.version,
        sha256=digest_of(path),
        attributes=tuple(_attribute(name, one) for name, one in found.attributes.items()),
    )


def known_categories(snapshot: Path) -> set[Category]:
    """Return every level of the paths that a snapshot's listings have, and of its taxonomy's, if it has one."""
    column = Snapshot(snapshot).table(["category"], pc.field("category").is_valid())["category"]
    taxonomy = read_taxonomy(snapshot)
    leaves = {*map(tuple, column.to_pylist()), *(map(tuple, taxonomy.paths.values()) if taxonomy else ())}
    return {leaf[:level] for leaf in leaves for level in range(1, len(leaf) + 1)}


def _refuse_twins(path: Path, found: _File) -> None:
    """Refuse two attributes with one name, and a name that two options of an attribute have, in whatever language."""
    attributes: dict[str, str] = {}
    for name, one in found.attributes.items():
        other = attributes.setdefault(spelling(name), name)
        if other != name:
            raise _KIND.wrong(path, f"{other} and {name} are one attribute", "attributes", name, value=name)
        options: dict[str, str] = {}
        for option, told in one.options.items():
            for word in (option, *told.names.values()):
                if (first := options.setdefault(spelling(word), option)) != option:
                    said = f"two options of {name} have one name: {first} and {option}"
                    raise _KIND.wrong(path, said, "attributes", name, "options", option, value=word)


def _refuse_unknown(path: Path, found: _File, known: Collection[Category]) -> None:
    for name, one in found.attributes.items():
        for category in map(tuple, one.categories):
            if category in known:
                continue
            texts = [" > ".join(other) for other in sorted(known)]
            near = difflib.get_close_matches(" > ".join(category), texts, n=3, cutoff=0.5)
            raise _KIND.wrong(
                path,
                f"{name} names a category that no listing of the night has, nor the taxonomy",
                *("attributes", name, "categories"),
                value=" > ".join(category),
                limit=f"such as {', '.join(near or texts[:3])}" if texts else "the night has no categories",
            )


def _attribute(name: str, given: _Attribute) -> GivenAttribute:
    return GivenAttribute(
        name=name,
        names=given.names,
        categories=tuple(map(tuple, given.categories)),
        options=tuple(
            Option(name=option, names=one.names, descriptions=tuple(one.descriptions))
            for option, one in given.options.items()
        ),
    )
