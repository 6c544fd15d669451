"""The audit file: every change of the champion, one line each, by the bundle's digest.

Its last line is what alias and answers last agreed on: an alias that is elsewhere was moved by a person, unless the
registry does not know of that line (``entry``): then it was restored from a backup.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from ecclip.core import now, settings
from ecclip.registry.versions import ModelRef


def told_champions() -> list[dict[str, Any]]:
    """Return the lines of the audit file, oldest first."""
    path = _path()
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line for line in map(_read, lines) if line.get("bundle_digest")]


def last_told() -> dict[str, Any]:
    """Return the last line of the audit file; empty before the first."""
    return next(reversed(told_champions()), {})


def new_entry() -> str:
    """Return what marks a line, and the version that it is about."""
    return secrets.token_hex(8)


def tell(target: ModelRef, current: str | None, reason: str, entry: str) -> None:
    """Append the change unless the last line already tells it; this also completes a call killed before its line.

    ``current`` is the version that was champion before.
    """
    path, last = _path(), last_told()
    if last.get("bundle_digest") == target.digest:
        return
    line = {
        "at": now().isoformat(),
        "event": "champion",
        "version": target.version,
        "bundle_digest": target.digest,
        "lineage_id": target.lineage_id,
        "previous": current if current != target.version else last.get("version"),
        "reason": reason,
        "run": settings().run_id,
    } | ({"entry": entry} if entry else {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        torn = "\n" if path.stat().st_size and not path.read_bytes().endswith(b"\n") else ""
        file.write(torn + json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _path() -> Path:
    return settings().work / "mlflow" / "audit.jsonl"


def _read(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (ValueError, TypeError):
        return {}  # half a line of a killed process
