"""JSON files that name their schema: written canonically, refused if this code does not know the schema."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from ecclip.atomic import canonical_json, write_atomic
from ecclip.errors import ContractError, IntegrityError

SCHEMA = "schema"
UNNAMED = ""  # stands for the schema of files from before theirs had a name
_Value = TypeVar("_Value")


def write_document(path: Path, schema: str, content: dict[str, Any]) -> None:
    """Write ``content`` with the name of its schema (``ecclip.<name>/<version>``)."""
    write_atomic(path, canonical_json({SCHEMA: schema, **content}))


def read_document(path: Path, schema: str, next_step: str, older: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what :func:`write_document` wrote, with its schema; those in ``older`` are accepted, too.

    ``UNNAMED`` among them accepts a file that names none.

    Raises:
        ContractError: the file has another schema, or none; names both and ``next_step``, which makes it anew.
        IntegrityError: the file is missing or no JSON object.
    """
    content = read_json_object(path, next_step)
    found = content.get(SCHEMA, UNNAMED)
    if found not in (schema, *older):
        raise ContractError(
            f"this version of ecclip cannot read the schema of {path}",
            value=found or "no schema",
            limit=schema,
            next_step=f"{next_step}, or use the version of ecclip that wrote it",
        )
    return content


def read_json_object(path: Path, next_step: str, what: str = "a file") -> dict[str, Any]:
    """Return a JSON object whatever its schema; ``what`` the file is, for the error.

    Raises:
        IntegrityError: the file is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{what} cannot be read", value=path, next_step=next_step) from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{what} is not a JSON object", value=path, next_step=next_step)
    return content


def read_field(content: dict[str, Any], name: str, kind: type[_Value], path: Path, next_step: str) -> _Value:
    """Return a field of a document that was read from ``path``.

    Raises:
        IntegrityError: it is missing, or of another kind; names file and field.
    """
    value = content.get(name)
    if not isinstance(value, kind):
        raise IntegrityError(
            f"the field {name} of {path} cannot be used",
            value="missing" if name not in content else repr(value)[:80],
            limit=kind.__name__,
            next_step=next_step,
        )
    return value


def read_record(kind: type[_Value], path: Path, schema: str, next_step: str) -> _Value:
    """Return a document whose fields are those of ``kind``, a dataclass of texts; one with a default may be missing.

    Raises:
        ContractError: the file has another schema.
        IntegrityError: it cannot be read; names the file and, where it is one, the field.
    """
    content = read_document(path, schema, next_step)
    wanted = fields(kind)  # type: ignore[arg-type]
    names = [one.name for one in wanted if one.name in content or one.default is MISSING]
    return kind(**{name: read_field(content, name, str, path, next_step) for name in names})
