"""The policy of age restriction: its classes, the labels that a listing has for them, and their descriptions embedded.

What the shop keeps is a YAML file (``ecclip.embed.age_policy`` reads it); what lies beside a night's embeddings is its
content as JSON, and the mean of each class's descriptions by the towers of that night.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.errors import IntegrityError
from ecclip.formats.documents import read_document, read_field, write_document
from ecclip.formats.embeddings import Prompts, load_prompts, write_prompts

__all__ = ["OWN_LABEL", "AgeClass", "AgePolicy", "EmbeddedPolicy", "load_age_policy", "write_age_policy"]

SCHEMA = "ecclip.age_policy/1"
OWN_LABEL = "age:"  # attribute ``age:<class>``, yes or no: how a dump or a person labels one class and no other
_FILE, _PROMPTS = "age_policy.json", "age_prompts.parquet"
_YES_NO = {"yes": 1, "true": 1, "no": 0, "false": 0}
_NEXT_STEP = "run the stage embed of this night"


@dataclass(frozen=True, kw_only=True)
class AgeClass:
    """One class of the policy.

    Attributes:
        name: in metrics, decisions and answers.
        descriptions: what belongs to it, in words; asked by a class without labels.
        minimum_age: in years, None where the policy does not say.
        false_positive_rate: share of unrestricted listings that its operating point may flag.
        values: of the policy's attribute, in lower case, that name it.
        categories: paths of the dump, root to leaf, whose listings and those below are of the class.
    """

    name: str
    descriptions: tuple[str, ...]
    minimum_age: int | None
    false_positive_rate: float
    values: frozenset[str] = frozenset()
    categories: tuple[tuple[str, ...], ...] = ()

    @property
    def head(self) -> str:
        """The name of its head."""
        return f"{OWN_LABEL}{self.name}"


@dataclass(frozen=True, kw_only=True)
class AgePolicy:
    """The classes, and where a dump names them.

    Attributes:
        version: as the shop counts it.
        sha256: of the file that it was read from.
        attribute: of the dump, whose values name classes; None where none does.
        unrestricted: values of that attribute, in lower case, that say: none of the classes.
        false_positive_rate: of the dump's own yes/no flag.
        classes: in the file's order.
    """

    version: int
    sha256: str
    attribute: str | None
    unrestricted: frozenset[str]
    false_positive_rate: float
    classes: tuple[AgeClass, ...]

    def label(
        self, one: AgeClass, flag: bool | None, attributes: Mapping[str, str], category: Sequence[str] | None
    ) -> bool | None:
        """Return whether a listing is of a class as far as its row says so, None where it does not.

        The first of these that says something decides: the attribute ``age:<class>``, the policy's attribute, a
        category that the policy names, and the flag ``no``, which denies every class; ``yes`` leaves open which.
        """
        own = _YES_NO.get(attributes.get(one.head, "").lower())
        if own is not None:
            return bool(own)
        named = attributes.get(self.attribute, "").lower() if self.attribute else ""
        if named in one.values:
            return True
        if named and (named in self.unrestricted or any(named in other.values for other in self.classes)):
            return False
        if category and one.categories:
            return any(tuple(category[: len(path)]) == path for path in one.categories)
        return False if flag is False else None

    def labels(self, one: AgeClass, given: Mapping[str, Sequence[Any]]) -> list[bool | None]:
        """Return :meth:`label` of N listings from the snapshot's columns age_restricted, attributes and category."""
        columns = (given["age_restricted"], given["attributes"], given["category"])
        return [
            self.label(one, flag, dict(pairs or ()), category) for flag, pairs, category in zip(*columns, strict=True)
        ]


@dataclass(frozen=True)
class EmbeddedPolicy:
    """A policy, and its classes' descriptions by the towers of a night.

    Attributes:
        policy: the policy.
        embeddings: float32 [classes, d] of length 1, the mean of a class's descriptions; zeros for one without any.
        features: float32 [classes, width] of length 1, likewise of the text tower's own features.
    """

    policy: AgePolicy
    embeddings: np.ndarray
    features: np.ndarray


def write_age_policy(policy: AgePolicy, prompts: Prompts | None, folder: Path) -> None:
    """Write a policy beside a night's embeddings; ``prompts`` are all descriptions by that night's towers."""
    write_document(folder / _FILE, SCHEMA, _plain(asdict(policy)))
    if prompts is not None:
        write_prompts(prompts, folder, _PROMPTS)


def load_age_policy(folder: Path) -> EmbeddedPolicy | None:
    """Return what :func:`write_age_policy` wrote beside a night's embeddings, None where it wrote nothing.

    Raises:
        ContractError: the policy has a schema that this code does not know.
        IntegrityError: it cannot be read; names the file.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    content = read_document(path, SCHEMA, _NEXT_STEP)
    classes = read_field(content, "classes", list, path, _NEXT_STEP)
    try:
        policy = AgePolicy(
            **{name: content[name] for name in ("version", "sha256", "attribute", "false_positive_rate")},
            unrestricted=frozenset(content["unrestricted"]),
            classes=tuple(_class(one) for one in classes),
        )
    except (KeyError, TypeError) as error:
        raise IntegrityError(
            "the policy of age restriction cannot be read", value=path, next_step=_NEXT_STEP
        ) from error
    prompts = load_prompts(folder, _PROMPTS)
    empty = Prompts([], np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32), joint=False)
    return EmbeddedPolicy(policy, *(prompts or empty).pooled([one.descriptions for one in policy.classes]))


def _class(content: Mapping[str, Any]) -> AgeClass:
    return AgeClass(
        **{name: content[name] for name in ("name", "minimum_age", "false_positive_rate")},
        descriptions=tuple(content["descriptions"]),
        values=frozenset(content["values"]),
        categories=tuple(map(tuple, content["categories"])),
    )


def _plain(value: Any) -> Any:
    """Return sets as sorted lists, at any depth: equal policies give equal bytes."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value
