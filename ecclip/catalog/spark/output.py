"""Where the folder of a stage will stand, while the stage still writes it under another name."""

from __future__ import annotations

from pathlib import Path


def beside(output: Path, suffix: str, *, hidden: bool = False) -> Path:
    """Return ``<name><suffix>`` beside a stage's output; the stage writes into ``.<name>.tmp-<pid>``."""
    name = output.name.split(".tmp-")[0].lstrip(".")
    return output.with_name(f"{'.' if hidden else ''}{name}{suffix}")
