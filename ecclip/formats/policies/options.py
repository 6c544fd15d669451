"""Attributes whose options a shop names in a file, for what its specs do not teach; and those options embedded.

What the shop keeps is a YAML file (``ecclip.embed.attribute_options`` reads it); what lies beside a night's embeddings
is its content as JSON, and the mean of each option's names and descriptions by the towers of that night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.errors import IntegrityError
from ecclip.formats.documents import read_document, read_field, write_document
from ecclip.formats.embeddings import Prompts, attribute_prompt, load_prompts, write_prompts

__all__ = [
    "AttributeOptions",
    "EmbeddedOptions",
    "GivenAttribute",
    "Option",
    "load_attribute_options",
    "spelling",
    "write_attribute_options",
]

SCHEMA = "ecclip.attribute_options/1"
_FILE, _PROMPTS = "attribute_options.json", "option_prompts.parquet"
_NEXT_STEP = "run the stage embed of this night"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option: its name, which is the value of an answer, its names by language, and what it is in words."""

    name: str
    names: Mapping[str, str]
    descriptions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GivenAttribute:
    """One attribute of the file.

    Attributes:
        name: in answers, and in specs that state it.
        names: by language, as the text tower is told them.
        categories: paths root to leaf that it applies to, with all that lies below them; none stands for every one.
        options: two or more.
    """

    name: str
    names: Mapping[str, str]
    categories: tuple[tuple[str, ...], ...]
    options: tuple[Option, ...]

    @property
    def prompts(self) -> list[list[str]]:
        """Return by option what it is called in front of the text tower: as a value in every language, and in words."""
        return [
            [
                attribute_prompt(self.name, one.name),
                *(attribute_prompt(self.names.get(tag, self.name), name) for tag, name in one.names.items()),
                *one.descriptions,
            ]
            for one in self.options
        ]

    @property
    def numbers(self) -> dict[str, int]:
        """Return the number of each option by the spelling of its names in all languages."""
        words = [(number, (one.name, *one.names.values())) for number, one in enumerate(self.options)]
        return {spelling(word): number for number, names in words for word in names}

    def applies_to(self, path: Sequence[str] | None) -> bool:
        """Return whether a category is one of the attribute's, or below one; without any all are."""
        return not self.categories or any(tuple((path or ())[: len(one)]) == one for one in self.categories)


@dataclass(frozen=True, kw_only=True)
class AttributeOptions:
    """The attributes of a file, in its order: ``version`` as the shop counts it, ``sha256`` of the file."""

    version: int
    sha256: str
    attributes: tuple[GivenAttribute, ...]


@dataclass(frozen=True)
class EmbeddedOptions:
    """Attributes with options, and by attribute what the towers of a night say of its options.

    ``vectors`` holds float32 [K, d] and [K, width] of length 1: the means of each option's prompts, as embeddings and
    as the text tower's own features.
    """

    options: AttributeOptions
    vectors: Mapping[str, tuple[np.ndarray, np.ndarray]]


def spelling(text: str) -> str:
    """Return by what two spellings of a name are one: without case and with single spaces."""
    return " ".join(text.casefold().split())


def write_attribute_options(options: AttributeOptions, prompts: Prompts, folder: Path) -> None:
    """Write options beside a night's embeddings; ``prompts`` are all of their prompts by that night's towers."""
    write_document(folder / _FILE, SCHEMA, asdict(options))
    write_prompts(prompts, folder, _PROMPTS)


def load_attribute_options(folder: Path) -> EmbeddedOptions | None:
    """Return what :func:`write_attribute_options` wrote beside a night's embeddings, None where it wrote nothing.

    Raises:
        ContractError: the options have a schema that this code does not know.
        IntegrityError: they cannot be read; names the file.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    content = read_document(path, SCHEMA, _NEXT_STEP)
    found = read_field(content, "attributes", list, path, _NEXT_STEP)
    prompts = load_prompts(folder, _PROMPTS)
    try:
        if prompts is None:
            raise KeyError(_PROMPTS)
        options = AttributeOptions(
            version=content["version"], sha256=content["sha256"], attributes=tuple(map(_attribute, found))
        )
        return EmbeddedOptions(options, {one.name: prompts.pooled(one.prompts) for one in options.attributes})
    except (KeyError, TypeError) as error:
        raise IntegrityError("the options of attributes cannot be read", value=path, next_step=_NEXT_STEP) from error


def _attribute(content: Mapping[str, Any]) -> GivenAttribute:
    return GivenAttribute(
        name=content["name"],
        names=content["names"],
        categories=tuple(map(tuple, content["categories"])),
        options=tuple(
            Option(name=one["name"], names=one["names"], descriptions=tuple(one["descriptions"]))
            for one in content["options"]
        ),
    )
