"""Files that people and their tools edit: YAML and its sections, with file and line of whatever is wrong in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ecclip.core.parameters import unknown_names
from ecclip.errors import ConfigError

_Section = TypeVar("_Section", bound=BaseModel)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: |$)", re.MULTILINE)  # git's markers; ======= is wrong YAML anyway


def read_edited(path: Path, next_step: str) -> dict[Any, Any]:
    """Return the mapping in a YAML file; one of comments alone is an empty one.

    A file that was not written to its end is refused where that can be seen: it is empty, or its last line has no end.
    So is a key that stands twice, which a merge leaves and YAML would pass over.

    Raises:
        ConfigError: it cannot be read, or not as that; names file, line and ``next_step``.
    """
    text = _text_of(path, next_step)
    if found := _CONFLICT.search(text):
        raise _wrong(path, _line(text, found.start()), "a conflict of a merge is left", next_step)
    if not text.strip():
        raise _wrong(path, 1, "it is empty, as if it was not written", next_step)
    if not text.endswith(("\n", "}")):
        raise _wrong(
            path, _line(text, len(text)), "this line has no end, as if it was not written to its end", next_step
        )
    content = _parsed(text, path, next_step)
    if content is not None and not isinstance(content, dict):
        raise _wrong(path, 1, f"it holds a {type(content).__name__} instead of names with values", next_step)
    return content or {}


def _text_of(path: Path, next_step: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path.name} cannot be read", value=f"{path}: {error.strerror}", next_step=next_step
        ) from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(path, line, "this line is not text in UTF-8", next_step) from error


def _parsed(text: str, path: Path, next_step: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_twins(node, path, next_step)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(path, mark.line + 1 if mark else 1, str(error.problem), next_step) from error
    except yaml.reader.ReaderError as error:
        raise _wrong(
            path, _line(text, error.position), "this line has a character that YAML forbids", next_step
        ) from error
    except ValueError as error:  # of a value, such as a date that is none
        raise _wrong(path, None, str(error), next_step) from error
    finally:
        loader.dispose()


def _refuse_twins(node: yaml.Node, path: Path, next_step: str) -> None:
    """Refuse a mapping, at any depth, in which a key stands twice."""
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _refuse_twins(one, path, next_step)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _wrong(path, line, f"{key.value} stands here and in line {seen[key.value]}", next_step)
                seen[key.value] = line
            _refuse_twins(value, path, next_step)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _wrong(path: Path, line: int | None, what: str, next_step: str) -> ConfigError:
    where = f"{path}:{line}" if line else str(path)
    return ConfigError(f"{path.name} cannot be used: {what}", value=where, next_step=next_step)


def place_in(path: Path, *names: str) -> str:
    """Return ``file:line`` of the value that names lead to, as far as they are there; the file where none is."""
    node, line = yaml.compose(path.read_text(), _Loader), 0
    for name in names:
        found = [pair for pair in node.value if pair[0].value == name] if isinstance(node, yaml.MappingNode) else []
        if not found:
            break
        key, node = found[0]
        line = key.start_mark.line + 1
    return f"{path}:{line}" if line else str(path)


def read_section(
    path: Path, section: str, model: type[_Section], known: Sequence[str], renamed: Callable[[str], str | None]
) -> _Section:
    """Return a section of the file ``path``, one of those ``known``; where it has none, the defaults.

    ``renamed`` gives the name that a parameter has now, for one that had another.

    Raises:
        ConfigError: the file cannot be read, it has an unknown section, or the section a wrong parameter.
    """
    sections = read_edited(path, f"edit it, or git checkout {path.name}; {{}} alone stands for every default")
    unknown = sorted({*map(str, sections)} - set(known))
    if unknown:
        raise ConfigError(
            "params.yaml has a section that nothing reads",
            value=", ".join(unknown),
            limit=", ".join(known),
            next_step=f"remove it from params.yaml, or correct its name: {place_in(path, unknown[0])}",
        )
    given = sections.get(section) or {}
    if not isinstance(given, dict):
        raise ConfigError(
            f"params.yaml, section {section}: it holds a value instead of parameters",
            value=repr(given)[:80],
            next_step=f"edit {place_in(path, section)}",
        )
    _refuse_unknown_names(section, model, given, path, renamed)
    try:
        return model.model_validate(given)
    except (ConfigError, ValueError) as error:
        place = place_in(path, section, *_names_in(error))
        raise ConfigError(f"params.yaml, section {section}", value=str(error), next_step=f"edit {place}") from error


def _names_in(error: Exception) -> list[str]:
    """Return the names that lead to the first thing that is wrong, as far as the error says them."""
    return [str(name) for name in error.errors()[0]["loc"]] if isinstance(error, ValidationError) else []


def _refuse_unknown_names(
    section: str, model: type[Any], given: dict[str, Any], path: Path, renamed: Callable[[str], str | None]
) -> None:
    found = list(unknown_names(model, given, f"{section}."))
    if not found:
        return
    named = [(name, renamed(name), hint) for name, hint in found]
    hints = [f"{name} is {new} now" if new else f"{name}: {hint}" for name, new, hint in named]
    place = place_in(path, *found[0][0].split("."))
    raise ConfigError(
        f"params.yaml, section {section}: no such parameter",
        value="; ".join(hints),
        next_step=f"edit {place}; docs/parameters.md has every name",
    )
