"""The policy file of age restriction: YAML that a shop keeps in ``policies/``, checked line by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ecclip.core import ConfigError, digest_of
from ecclip.core.edited import place_in, read_edited
from ecclip.formats.policies.age import AgeClass, AgePolicy

PACKAGED = "packaged"
_FILE = Path(__file__).with_suffix(".yaml")
_NEXT_STEP = "correct it, or set embed.age_policy to packaged; docs/how-to/age-restriction.md has every name"
_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"


def _path(given: Any) -> Any:
    """Return the names in ``Drinks > Wine``; a list of names as it is."""
    return [name.strip() for name in given.split(">")] if isinstance(given, str) else given


_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_Path = Annotated[list[_Text], Field(min_length=1), BeforeValidator(_path)]
_Rate = Annotated[float, Field(gt=0, lt=0.5)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Class(_Strict):
    minimum_age: Annotated[int, Field(ge=0, le=99)] | None = None
    false_positive_rate: _Rate | None = None
    descriptions: list[_Text] = []
    values: list[_Text] = []
    categories: list[_Path] = []


class _Labels(_Strict):
    attribute: _Text | None = None
    unrestricted: list[_Text] = []


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
    path = _FILE if name == PACKAGED else folder / name
    if name != PACKAGED and not (path.is_file() and path.resolve().parent == folder.resolve()):
        raise ConfigError(
            "there is no such policy of age restriction",
            value=path,
            limit=", ".join([PACKAGED, *sorted(one.name for one in folder.glob("*.y*ml"))]),
            next_step=f"set embed.age_policy to one of these, or write the file: cp {_FILE} {path}",
        )
    content = read_edited(path, _NEXT_STEP)
    try:
        found = _File.model_validate(content)
    except ValidationError as error:
        raise _wrong(path, error) from error
    _refuse_twice(path, found)
    return _policy(found, digest_of(path))


def _wrong(path: Path, error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    names = [str(name) for name in first["loc"] if name != "[key]"]
    return ConfigError(
        f"the policy of age restriction has something wrong: {'.'.join(names)}: {first['msg']}",
        value=f"{place_in(path, *names)}: {str(first['input'])[:80]!r}",
        next_step=_NEXT_STEP,
    )


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
