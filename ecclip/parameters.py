"""Every parameter of every stage and every environment variable, as one readable page (docs/parameters.md)."""

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
# read before there are settings, or by processes that have none: default and meaning
_OTHER_VARIABLES = {
    "ECCLIP_SCHEDULE": ("`0 0 * * *`", "when nightly_catalog runs: cron in UTC, or none; default of `make up`: none"),
    "ECCLIP_RETRY_DELAY_S": ("`60`", "pause before Airflow tries a task again, seconds; default of `make up`: 5"),
    "ECCLIP_AIRFLOW_PORT": ("", "port of the Airflow UI of `make up`; default: a free one"),
    "ECCLIP_MLFLOW_PORT": ("", "port of the MLflow UI of `make up`; default: a free one"),
    "ECCLIP_TRITON_PORT": ("", "gRPC port of the embedded Triton; default: a free one"),
    "ECCLIP_LOG_LEVEL": ("`INFO`", "least level of what is logged: DEBUG, INFO, WARNING, ERROR"),
    "ECCLIP_CLOCK": ("", "a moment (ISO 8601 with offset) that is taken for now; for tests"),
}


def page() -> str:
    """Return docs/parameters.md: a table of parameters for each stage, then the environment variables."""
    lines = [_HEAD]
    for name in [*STEPS, "gate", "deploy", "sample"]:
        rows = list(_rows(stage_model(name)))
        if rows:
            lines += [f"## {section_of(name)}\n", "| parameter | default | meaning |", "|---|---|---|", *rows, ""]
    settings = [
        f"| `ECCLIP_{name.upper()}` | {_default(field)} | {field.description or ''} |"
        for name, field in Settings.model_fields.items()
    ]
    settings += [f"| `{name}` | {default} | {meaning} |" for name, (default, meaning) in _OTHER_VARIABLES.items()]
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
