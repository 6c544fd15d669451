"""The final path of a stage's output, while the stage still writes under a temporary name."""

from __future__ import annotations

from pathlib import Path


def sibling(output: Path, suffix: str, *, hidden: bool = False) -> Path:
    """Return ``<name><suffix>`` next to a stage's output; the stage writes into ``.<name>.tmp-<pid>``."""
    name = output.name.split(".tmp-")[0].lstrip(".")
    return output.with_name(f"{'.' if hidden else ''}{name}{suffix}")
