"""Rejected rows, counted by reason; above a share the run stops and leaves them where they can be read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ecclip.catalog.spark.output import sibling
from ecclip.core import ContractError, replace_folder

QUARANTINE = "quarantine"


def refuse_share(
    what: str,
    reasons: dict[str, int],
    read: int,
    limit: float,
    output: Path,
    advice: Callable[[], str] | None = None,
) -> None:
    """Raise ContractError with the counts by reason when more than ``limit`` of ``read`` were rejected.

    ``output`` is the folder that the stage writes into: a refused run publishes nothing, and its ``quarantine/`` is
    then in ``<output>.refused/``. ``advice`` returns a hint on how to fix the input.
    """
    rejected = sum(reasons.values())
    refused = sibling(output, ".refused")
    if not read or rejected / read <= limit:
        shutil.rmtree(refused, ignore_errors=True)
        return
    for path in output.iterdir():
        if path.name != QUARANTINE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    replace_folder(output, refused)
    read_it = f"read {refused / QUARANTINE}; if the dump is correct, raise the limit in params.yaml"
    counts = ", ".join(f"{name} {count}" for name, count in sorted(reasons.items(), key=lambda item: -item[1]))
    raise ContractError(
        f"too many {what} were rejected: {counts}",
        value=f"{rejected} of {read} ({rejected / read:.1%})",
        limit=f"{limit:.1%}",
        next_step="; ".join(filter(None, [advice() if advice else "", read_it])),
    )
