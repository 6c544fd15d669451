"""Parameters of plain dataclasses: default, range and meaning beside the field, as pydantic's ``Field`` has them.

Towers and the training engine run on GPU images that have no pydantic. :func:`parameter` declares what such a field
may hold and :func:`verify` enforces it; :mod:`ecclip.core.parameters` reads both kinds of configuration alike.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

from ecclip.errors import ConfigError

LIMITS = ("ge", "gt", "le", "lt")
_MEETS: dict[str, Callable[[Any, Any], bool]] = {
    "ge": lambda value, limit: value >= limit,
    "gt": lambda value, limit: value > limit,
    "le": lambda value, limit: value <= limit,
    "lt": lambda value, limit: value < limit,
}


def parameter(default: Any, description: str, **limits: float) -> Any:
    """Return a dataclass field with its meaning and its range.

    Args:
        default: the value, or a class without required arguments, of which each object gets a default one.
        description: what the parameter means; units and where a threshold comes from.
        limits: ``ge``, ``gt``, ``le``, ``lt``, as pydantic names them.
    """
    metadata = {"description": description, "limits": limits}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def verify(config: Any) -> None:
    """Check every field of a dataclass against its range and its choices; None is allowed where the type says so.

    Raises:
        ConfigError: names the field, its value and its range.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is None:
            continue
        where = f"{type(config).__name__.removesuffix('Config').lower()}: {field.name}"
        choices = choices_of(hints[field.name])
        if choices and value not in choices:
            raise ConfigError(
                f"{where} is unknown",
                value=value,
                limit=", ".join(map(str, choices)),
                next_step="correct it in params.yaml; docs/parameters.md lists the choices",
            )
        limits = field.metadata.get("limits", {})
        if not all(_MEETS[name](value, limit) for name, limit in limits.items()):
            raise ConfigError(
                f"{where} is out of range",
                value=value,
                limit=range_text(limits),
                next_step="correct it in params.yaml; docs/parameters.md has the ranges",
            )


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """Return the values that a type lists, a `Literal` or an enumeration of texts; none where it lists none."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    return tuple(annotation) if isinstance(annotation, type) and issubclass(annotation, StrEnum) else ()


def refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse names that are not known, and name the closest of those that are.

    Raises:
        ConfigError: there is an unknown name.
    """
    names = list(known)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigError(
            f"{what}: unknown parameter",
            value=", ".join(unknown),
            limit=closest(unknown[0], names),
            next_step="correct the name; docs/parameters.md lists them",
        )


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is most like ``name``, or all of them where none is."""
    names = list(known)
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else ", ".join(names)


def range_text(limits: Mapping[str, float]) -> str:
    """Return a range for people: ``[0, 1)``, ``≥ 1``, or an empty text where there is none."""
    low = next((name for name in ("ge", "gt") if name in limits), None)
    high = next((name for name in ("le", "lt") if name in limits), None)
    texts = {name: str(int(limit)) if limit == int(limit) else str(limit) for name, limit in limits.items()}
    if low and high:
        opening, closing = "[" if low == "ge" else "(", "]" if high == "le" else ")"
        return f"{opening}{texts[low]}, {texts[high]}{closing}"
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return next((f"{signs[name]} {texts[name]}" for name in (low, high) if name), "")
