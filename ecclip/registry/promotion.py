"""Change the champion under a lock, by compare-and-set, with a line in the audit file.

The last line of that file is what alias and answers last agreed on: an alias that is elsewhere was moved by a person.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecclip.core import GateError, fail_point, get_logger, locked, now, settings
from ecclip.registry.store import CHALLENGER, CHAMPION, MODEL, OVERTAKEN, aliases, answering, client
from ecclip.registry.versions import ModelRef, model_version, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ANY = "any"
_LONGEST_TAG = 4000  # characters; MLflow takes 5000


def set_champion(version: str, reason: str, against: str | None = _ANY, wait_s: float = 60.0) -> ModelRef:
    """Move @champion to a version and return it; a version that already is champion stays and nothing is written.

    ``against`` is the champion that the verdict was made against (None: there was none): if another promoter was
    faster, the verdict does not apply to the current champion. Without it (a rollback) any champion is replaced.

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


def complete_champion(version: str, reason: str, *, move: bool, wait_s: float = 60.0) -> ModelRef:
    """Enter that a version answers and is champion: what a person's request, or a promotion that was killed, left out.

    With ``move`` the alias was left behind and is moved there, if it still lies where alias and answers last agreed,
    or nowhere. Elsewhere it is a wish that came meanwhile, and stays; so it does without ``move``.

    Raises:
        ServiceError: the registry does not answer, or another promoter holds the lock for ``wait_s`` seconds.
    """
    with locked(settings().work / "run" / "promote.lock", "the promotion", wait_s):
        target, before = model_version(version), last_champion()
        previous = None if before is None or before.version == version else before.version
        with answering():
            store = client()
            _tag(store, target, previous, reason)
            if move and aliases(store).get(CHAMPION) in (None, previous):
                store.set_registered_model_alias(MODEL, CHAMPION, version)
            _end_challenge(store, version)
        _audit(target, previous, reason)
    return model_version(version)


def ask_for(version: str, reason: str = "") -> None:
    """Move @champion to a version as a person does: a request, with its ``reason`` as a tag.

    Raises:
        ServiceError: the registry does not answer.
    """
    with answering():
        store = client()
        store.set_model_version_tag(MODEL, version, "reason", reason)
        store.set_registered_model_alias(MODEL, CHAMPION, version)


def refuse_champion(version: str, reason: str, back_to: str | None, wait_s: float = 60.0) -> None:
    """Give @champion back to the version that answers (None: nothing does), and say on the refused one why.

    An alias that has been moved on meanwhile is another wish, and stays.

    Raises:
        ServiceError: the registry does not answer, or another promoter holds the lock for ``wait_s`` seconds.
    """
    with locked(settings().work / "run" / "promote.lock", "the promotion", wait_s), answering():
        store = client()
        for name, value in (("refused_at", _time()), ("refused_reason", reason[:_LONGEST_TAG])):
            store.set_model_version_tag(MODEL, version, name, value)
        if aliases(store).get(CHAMPION) != version:
            return
        if back_to is None:
            store.delete_registered_model_alias(MODEL, CHAMPION)
        else:
            store.set_registered_model_alias(MODEL, CHAMPION, back_to)
    get_logger().warning("the request to make a version champion is refused", version=version, reason=reason)


def end_challenge(version: str, reason: str, wait_s: float = 60.0) -> None:
    """Take @challenger from a version that a later night has overtaken, and say on it why: nobody waits for it.

    Raises:
        ServiceError: the registry does not answer, or another promoter holds the lock for ``wait_s`` seconds.
    """
    with locked(settings().work / "run" / "promote.lock", "the promotion", wait_s), answering():
        store = client()
        store.set_model_version_tag(MODEL, version, OVERTAKEN, reason[:_LONGEST_TAG])
        _end_challenge(store, version)


def last_champion() -> ModelRef | None:
    """Return the version on which alias and answers last agreed, found by its bundle; None before the first.

    Raises:
        ServiceError: the registry does not answer.
    """
    digest = _last_line(_audit_path()).get("bundle_digest", "")
    return version_of(digest) if digest else None


def _move(store: MlflowClient, target: ModelRef, current: str | None, reason: str) -> None:
    """Tags first, alias last: a reader that sees the alias also sees the tags that explain it."""
    _tag(store, target, current, reason)
    fail_point("promote.tagged")
    store.set_registered_model_alias(MODEL, CHAMPION, target.version)
    fail_point("promote.moved")
    _end_challenge(store, target.version)
    get_logger().info("champion changed", version=target.version, previous=current, reason=reason)


def _tag(store: MlflowClient, target: ModelRef, previous: str | None, reason: str) -> None:
    """Write on both versions what became of them; what a refusal or a rollback said of the new champion is over."""
    # what it replaced when it first became champion: a rollback does not make the older one follow the newer
    replaced = {} if previous is None or "champion_reason" in target.tags else {"previous_champion": previous}
    told = replaced | {"champion_reason": reason, "champion_at": _time()}
    for name, value in told.items():
        store.set_model_version_tag(MODEL, target.version, name, value)
    for name in sorted({"refused_at", "refused_reason", "rolled_back", "replaced_by", OVERTAKEN} & {*target.tags}):
        store.delete_model_version_tag(MODEL, target.version, name)
    if previous is not None:
        name, value = ("rolled_back", reason) if _is_older(target, previous) else ("replaced_by", target.version)
        store.set_model_version_tag(MODEL, previous, name, value)


def _is_older(target: ModelRef, previous: str) -> bool:
    replaced = model_version(previous)
    return (target.night, int(target.version)) < (replaced.night, int(replaced.version))


def _end_challenge(store: MlflowClient, version: str) -> None:
    if aliases(store).get(CHALLENGER) == version:
        store.delete_registered_model_alias(MODEL, CHALLENGER)


def _audit(target: ModelRef, current: str | None, reason: str) -> None:
    """Append the change unless the last line already tells it; this also completes a call killed before its line."""
    path = _audit_path()
    last = _last_line(path)
    if last.get("bundle_digest") == target.digest:
        return
    line = {
        "at": _time(),
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


def _audit_path() -> Path:
    return settings().work / "mlflow" / "audit.jsonl"


def _time() -> str:
    return now().isoformat()


def _last_line(path: Path) -> dict[str, Any]:
    lines = path.read_text().splitlines() if path.is_file() else []
    for line in reversed(lines):
        try:
            return dict(json.loads(line))
        except ValueError:
            continue  # half a line of a killed process
    return {}
