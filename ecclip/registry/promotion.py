"""Change the champion under a lock, by compare-and-set, with a line in the audit file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ecclip.core import GateError, get_logger, locked, now, settings
from ecclip.registry.store import CHALLENGER, CHAMPION, MODEL, aliases, answering, client
from ecclip.registry.versions import ModelRef, model_version

_ANY = "any"


def set_champion(version: str, reason: str, against: str | None = _ANY, wait_s: float = 60.0) -> ModelRef:
    """Move @champion to a version and return it; a version that already is champion stays and nothing is written.

    ``against`` is the champion that the verdict was made against (None: there was none): if another promoter was
    faster, the verdict does not apply to the current champion. Without it (a rollback) any champion is replaced. A
    promotion takes seconds: a minute of waiting is by judgment.

    Raises:
        GateError: another version became champion since the verdict.
        ServiceError: the registry does not answer, or another promoter holds the lock for ``wait_s`` seconds.
    """
    with locked(settings().work / "run" / "promote.lock", "the promotion", wait_s):
        current = _compare_and_set(model_version(version), reason, against)
        _audit(model_version(version), current, reason)
    return model_version(version)


def _compare_and_set(target: ModelRef, reason: str, against: str | None) -> str | None:
    """Move the alias unless it is there; return the version that it pointed at."""
    with answering():
        store = client()
        current = aliases(store).get(CHAMPION)
        if current != target.version:
            if against not in (_ANY, current):
                raise GateError(
                    f"version {current} became champion after the verdict on version {target.version}",
                    value=f"champion: {current}",
                    limit=f"champion at the verdict: {against}",
                    next_step="run the gate again",
                )
            _move(store, target, current, reason)
        return current


def _move(store: Any, target: ModelRef, current: str | None, reason: str) -> None:
    """Tags first, alias last: a reader that sees the alias also sees the tags that explain it."""
    if "previous_champion" not in target.tags and current is not None:
        store.set_model_version_tag(MODEL, target.version, "previous_champion", current)
    store.set_model_version_tag(MODEL, target.version, "champion_reason", reason)
    store.set_registered_model_alias(MODEL, CHAMPION, target.version)
    if current is not None:
        back = model_version(current).tags.get("previous_champion") == target.version
        name, value = ("rolled_back", reason) if back else ("replaced_by", target.version)
        store.set_model_version_tag(MODEL, current, name, value)
    if aliases(store).get(CHALLENGER) == target.version:
        store.delete_registered_model_alias(MODEL, CHALLENGER)
    get_logger().info("champion changed", version=target.version, previous=current, reason=reason)


def _audit(target: ModelRef, current: str | None, reason: str) -> None:
    """Append the change unless the last line already tells it; this also completes a call killed before its line."""
    path = settings().work / "mlflow" / "audit.jsonl"
    last = _last_line(path)
    if last.get("version") == target.version:
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
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        torn = "\n" if path.stat().st_size and not path.read_bytes().endswith(b"\n") else ""
        file.write(torn + json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _last_line(path: Path) -> dict[str, Any]:
    lines = path.read_text().splitlines() if path.is_file() else []
    for line in reversed(lines):
        try:
            return dict(json.loads(line))
        except ValueError:
            continue  # half a line of a killed process
    return {}
