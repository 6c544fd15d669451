"""Names and parameters in the form that MLflow accepts."""

from __future__ import annotations

import json
import re
from typing import Any

from ecclip.core import sha256_bytes

_LONGEST_NAME = 250  # MLflow's limit of a key
_LONGEST_VALUE = 6000  # MLflow's limit of a parameter's value


def metric_name(name: str) -> str:
    """Return a name in the form that MLflow accepts: recall@10 is recall_at_10.

    That is letters, digits, ``_ - . : /`` and spaces, no part that a path would resolve (an attribute may be called
    ``..``), and a bounded length: a longer name ends with a digest of the whole.
    """
    plain = re.sub(r"[^/\w.\- :]", "_", name.replace("@", "_at_"))
    plain = "/".join("_" if part in ("", ".", "..") else part for part in plain.split("/"))
    if len(plain) <= _LONGEST_NAME:
        return plain
    digest = sha256_bytes(name.encode())[:16]
    return f"{plain[: _LONGEST_NAME - len(digest) - 1]}_{digest}"


def training_metric_name(name: str) -> str:
    """Return the name in MLflow of a metric of the training; one without a group goes into the group train."""
    return metric_name(name if "/" in name else f"train/{name}")


def parameters(stage: str, config: dict[str, Any]) -> dict[str, str]:
    """Return the flat parameters of a stage's configuration, as MLflow takes them."""
    return {metric_name(name): value[:_LONGEST_VALUE] for name, value in flat_parameters(stage, config).items()}


def flat_parameters(stage: str, config: dict[str, Any]) -> dict[str, str]:
    """Return ``stage.section.name`` to value as text."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flat_parameters(f"{stage}.{name}", value)
        else:
            flat[f"{stage}.{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat
