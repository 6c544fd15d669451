"""Every key of a mapping.yaml as Markdown, made from the model that reads it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ecclip.catalog.mapping.model import (
    Attributes,
    Fields,
    Join,
    Limits,
    Mapping,
    NamedValue,
    Number,
    Pairs,
    Parent,
    Separator,
    Skip,
    TableFiles,
    Time,
    Value,
    Words,
)

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", Mapping),
    ("source", TableFiles),
    ("join", Join),
    ("parent", Parent),
    ("skip", Skip),
    ("A value", Value),
    ("between", Separator),
    ("number", Number),
    ("pairs", Pairs),
    ("time", Time),
    ("attributes", Attributes),
    ("attributes.named", NamedValue),
    ("age_restricted", Words),
    ("limits", Limits),
)


def mapping_reference() -> str:
    """Return a table of keys for each part of a mapping, as docs/mapping.md has them."""
    return "\n\n".join(f"### {title}\n\n{_table(model)}" for title, model in _SECTIONS)


def _table(model: type[BaseModel]) -> str:
    inherited = set(TableFiles.model_fields) if model is Join else set()
    rows = [_row(name, info) for name, info in model.model_fields.items() if name not in inherited]
    more = ["", "And the keys of `source`."] if inherited else []
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows, *more])


def _row(name: str, info: FieldInfo) -> str:
    meaning = (info.description or "").replace("|", "\\|")
    return f"| `{info.alias or name}` | {_words(info.annotation)} | {_default(info)} | {meaning} |"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default()
    if value is None or value is PydanticUndefined or isinstance(value, Attributes | Limits) or value in ([], {}):
        return ""
    if isinstance(value, Separator):
        value = value.text
    return f"`{value}`".lower() if isinstance(value, bool | int | float) else f"`{value!r}`"


def _words(annotation: Any) -> str:
    return " or ".join(dict.fromkeys(_names(annotation)))


def _names(annotation: Any) -> Iterator[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        for choice in inner:
            yield from _names(choice)
    elif origin is Literal:
        yield from (f"`{choice}`" for choice in inner)
    elif origin is list:
        yield f"list of {_words(inner[0])}"
    elif origin is dict:
        yield f"{_words(inner[0])} → {_words(inner[1])}"
    elif annotation is not type(None):
        yield _NAMES[annotation]


_NAMES = {str: "text", bool: "true/false", int: "count", float: "share"} | {
    model: "[a value](#a-value)" if model is Value else f"keys of `{title}`" for title, model in _SECTIONS
}
_NAMES |= {Fields: "fields of the [dump](dump.md) and `image`", Words: "keys of `age_restricted`"}
