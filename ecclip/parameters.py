"""Every parameter of every stage and every setting of the machine, as one readable page (docs/parameters.md)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ecclip.core import Settings
from ecclip.pipeline import STEPS, section_of, stage_model

_HEAD = """# Parameters and settings

Made by `ecclip parameters`; a test holds this page against the code.

Parameters belong to the work: `params.yaml`, one section a stage; a change makes the stage run again.
Settings belong to the machine: environment variables.
"""


def page() -> str:
    """Return docs/parameters.md: a table of parameters for each stage, then the settings."""
    lines = [_HEAD]
    for name in [*STEPS, "gate", "deploy", "sample"]:
        rows = list(_rows(stage_model(name)))
        if rows:
            lines += [f"## {section_of(name)}\n", "| parameter | default | meaning |", "|---|---|---|", *rows, ""]
    settings = [
        f"| `ECCLIP_{name.upper()}` | {_default(field)} | {field.description or ''} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([*lines, "## Settings\n", "| variable | default | meaning |", "|---|---|---|", *settings, ""])


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _rows(kind, f"{prefix}{name}.")
        else:
            yield f"| `{prefix}{name}` | {_default(field)} | {field.description or ''} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return ""
    return "" if field.default is None else f"`{field.default}`"
