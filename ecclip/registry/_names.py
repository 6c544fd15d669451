"""Names and parameters as MLflow takes them."""

from __future__ import annotations

import json
import re
from typing import Any

_LONGEST_VALUE = 6000


def metric_name(name: str) -> str:
    """Return a name as MLflow takes it (letters, digits, ``_ - . : /``, spaces): recall@10 is recall_at_10."""
    return re.sub(r"[^/\w.\- :]", "_", name.replace("@", "_at_"))


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
