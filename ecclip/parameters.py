"""Every parameter of every stage and every environment variable, as one readable page (docs/parameters.md)."""

from __future__ import annotations

from ecclip.core import Parameter, Settings, parameters_of
from ecclip.pipeline import OTHER_SECTIONS, STEPS, section_of, stage_model

_HEAD = """# Parameters and settings

Made by `ecclip parameters`; a test holds this page against the code.

Parameters belong to the work: `params.yaml`, one section per stage; a change makes the stage run again. A default
whose meaning names no source was chosen by judgment.
A dotted name is nested: `trainer.epochs` of the section `train` is `train: {trainer: {epochs: 2}}`, and
`dvc exp run -S train.trainer.epochs=3` sets it. Former names are in [renames.md](renames.md).
Settings belong to the machine: environment variables.
"""
_COLUMNS = "| parameter | type | default | range | meaning |\n|---|---|---|---|---|"
# read before there are settings, or by processes that have none: default and meaning
_OTHER_VARIABLES = {
    "ECCLIP_SCHEDULE": (
        "`0 0 * * *`",
        "when nightly_catalog runs: cron in ECCLIP_TIMEZONE, or none; default of `make up`: none",
    ),
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
    for name in [*STEPS, *OTHER_SECTIONS]:
        rows = [_row(parameter) for parameter in parameters_of(stage_model(name))]
        if rows:
            lines += [f"## {section_of(name)}\n", _COLUMNS, *rows, ""]
    settings = [_row(each._replace(name=f"ECCLIP_{each.name.upper()}")) for each in parameters_of(Settings)]
    settings += [f"| `{name}` | | {default} | | {meaning} |" for name, (default, meaning) in _OTHER_VARIABLES.items()]
    return "\n".join([*lines, "## Settings\n", _COLUMNS.replace("parameter", "variable"), *settings, ""])


def _row(one: Parameter) -> str:
    default = f"`{one.default}`" if one.default else ""
    return f"| `{one.name}` | {one.kind} | {default} | {one.limits} | {one.meaning} |"
