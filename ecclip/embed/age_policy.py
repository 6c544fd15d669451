"""The policy file of age restriction: YAML that a shop keeps in ``policies/``, checked line by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from ecclip.core import ConfigError, digest_of
from ecclip.core.edited import place_in
from ecclip.embed.policy_files import STRICT, CategoryPath, PolicyFile, Text
from ecclip.formats.policies.age import AgeClass, AgePolicy

PACKAGED = "packaged"
_FILE = Path(__file__).with_suffix(".yaml")
_KIND = PolicyFile(
    "policy of age restriction",
    "embed.age_policy",
    "correct it, or set embed.age_policy to packaged; docs/how-to/age-restriction.md has every name",
)
_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
_Rate = Annotated[float, Field(gt=0, lt=0.5)]


class _Strict(BaseModel):
    model_config = STRICT


class _Class(_Strict):
    minimum_age: Annotated[int, Field(ge=0, le=99)] | None = None
    false_positive_rate: _Rate | None = None
    descriptions: list[Text] = []
    values: list[Text] = []
    categories: list[CategoryPath] = []


class _Labels(_Strict):
    attribute: Text | None = None
    unrestricted: list[Text] = []


class _File(_Strict):
    version: Annotated[int, Field(ge=1)]
    false_positive_rate: _Rate = 0.01
    labels: _Labels = _Labels()
    classes: Annotated[dict[Annotated[str, Field(pattern=f"^{_NAME}$")], _Class], Field(min_length=1)]


def read_age_policy(folder: Path, name: str) -> AgePolicy:
    """Return the policy in the file ``name`` of the workspace's folder of policies, or the packaged one.

    Raises:
        ConfigError: there is no such file, or something in it is wrong; names file and line, value and next step.
    """
    path = _FILE if name == PACKAGED else _KIND.find(folder, name, [PACKAGED], f"cp {_FILE} {folder / name}")
    found = _KIND.read(path, _File)
    _refuse_twice(path, found)
    return _policy(found, digest_of(path))


def _refuse_twice(path: Path, found: _File) -> None:
    """Refuse a value or a category that two classes name: a listing with it would be of either."""
    seen: dict[str, str] = {value.lower(): "labels.unrestricted" for value in found.labels.unrestricted}
    for name, said in _said(found):
        if seen.setdefault(said, name) != name:
            raise ConfigError(
                f"two classes of the policy of age restriction claim one label: {seen[said]} and {name}",
                value=f"{place_in(path, 'classes', name)}: {said!r}",
                next_step="leave it with one of them",
            )


def _said(found: _File) -> Iterator[tuple[str, str]]:
    for name, one in found.classes.items():
        yield from ((name, value.lower()) for value in one.values)
        yield from ((name, " > ".join(path)) for path in one.categories)


def _policy(found: _File, sha256: str) -> AgePolicy:
    return AgePolicy(
        version=found.version,
        sha256=sha256,
        attribute=found.labels.attribute,
        unrestricted=frozenset(value.lower() for value in found.labels.unrestricted),
        false_positive_rate=found.false_positive_rate,
        classes=tuple(
            AgeClass(
                name=name,
                descriptions=tuple(one.descriptions),
                minimum_age=one.minimum_age,
                false_positive_rate=one.false_positive_rate or found.false_positive_rate,
                values=frozenset(value.lower() for value in one.values),
                categories=tuple(map(tuple, one.categories)),
            )
            for name, one in found.classes.items()
        ),
    )
