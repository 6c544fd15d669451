"""What a configuration consists of: each parameter by its dotted name, described by pydantic or by a dataclass."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr

from ecclip.fields import LIMITS, choices_of, closest, range_text

ENTRY = "<name>"  # stands for the key in a table of configurations
_PLAIN = {
    str: "text",
    SecretStr: "text",
    Path: "path",
    float: "number",
    int: "integer",
    bool: "true, false",
    type(None): "none",
}


class Parameter(NamedTuple):
    """One parameter: dotted name, type, default, range and meaning, as texts for people."""

    name: str
    kind: str
    default: str
    limits: str
    meaning: str


class _Field(NamedTuple):
    name: str
    annotation: Any
    default: Any
    limits: dict[str, float]
    meaning: str
    shorthand: dict[str, str]


def parameters_of(model: type[Any], prefix: str = "", given: Any = None) -> Iterator[Parameter]:
    """Yield the parameters of a configuration class, those of nested sections included.

    ``given``, an object of ``model``, says the defaults where a section has others than its class.
    """
    for field in _fields(model):
        default = field.default if given is None else getattr(given, field.name)
        name = f"{prefix}{field.name}"
        for key, meaning in field.shorthand.items():
            yield Parameter(f"{name}.{key}", "text", "", "", meaning)
        if section := section_in(field.annotation):
            yield from parameters_of(section, f"{name}.", default if isinstance(default, section) else None)
            continue
        entry = entry_in(field.annotation)
        shown = ", ".join(default) if entry and isinstance(default, Mapping) else _default_text(default)
        yield Parameter(name, _kind(field.annotation), shown, range_text(field.limits), field.meaning)
        if entry:
            yield from parameters_of(entry, f"{name}.{ENTRY}.")


def unknown_names(model: type[Any], given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name of everything in ``given`` that the configuration does not have, with the closest name."""
    fields = {field.name: field for field in _fields(model)}
    for key, value in given.items():
        name = f"{prefix}{key}"
        if key not in fields:
            for leaf in _leaves(name, value):
                yield leaf, closest(str(key), fields)
            continue
        entry, section = entry_in(fields[key].annotation), section_in(fields[key].annotation)
        if entry and isinstance(value, Mapping):
            for each, inner in value.items():
                if isinstance(inner, Mapping):
                    yield from unknown_names(entry, inner, f"{name}.{each}.")
        elif section and isinstance(value, Mapping):
            inner = {part: one for part, one in value.items() if part not in fields[key].shorthand}
            yield from unknown_names(section, inner, f"{name}.")


def section_in(annotation: Any) -> type[Any] | None:
    """Return the configuration class that a field holds, or None where it holds a value."""
    kinds = [annotation, *typing.get_args(annotation)]
    if typing.get_origin(annotation) in (dict, list, tuple):
        return None
    return next((kind for kind in kinds if _is_section(kind)), None)


def entry_in(annotation: Any) -> type[Any] | None:
    """Return the configuration class of a table's entries, or None if the field is not such a table."""
    if typing.get_origin(annotation) is not dict:
        return None
    return next((kind for kind in typing.get_args(annotation) if _is_section(kind)), None)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind))


def _fields(model: type[Any]) -> Iterator[_Field]:
    if issubclass(model, BaseModel):
        for name, info in model.model_fields.items():
            default = "required" if info.is_required() else info.default if info.default_factory is None else None
            limits = {key: getattr(part, key) for part in info.metadata for key in LIMITS if hasattr(part, key)}
            shorthand = typing.cast(dict[str, str], info.json_schema_extra or {})
            yield _Field(name, info.annotation, default, limits, info.description or "", shorthand)
        return
    hints = typing.get_type_hints(model)
    for field in dataclasses.fields(model):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        described = field.metadata
        limits, meaning = described.get("limits", {}), described.get("description", "")
        yield _Field(field.name, hints[field.name], default, limits, meaning, {})


def _leaves(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield name
        return
    for key, inner in value.items():
        yield from _leaves(f"{name}.{key}", inner)


def _kind(annotation: Any) -> str:
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if choices := choices_of(annotation):
        return ", ".join(f"`{choice}`" for choice in choices)
    if origin in (list, tuple):
        return f"list of {_kind(inside[0])}"
    if origin is dict or (origin is not None and isinstance(origin, type) and issubclass(origin, Mapping)):
        return "table"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_kind(one) for one in inside)
    return _PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{list(value) if isinstance(value, tuple) else value}"
