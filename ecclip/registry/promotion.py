"""Change the champion under a lock, by compare-and-set, with a line in the audit file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ecclip.core import GateError, fail_point, get_logger, locked, now, settings
from ecclip.registry.audit import last_told, new_entry, tell
from ecclip.registry.store import CHALLENGER, CHAMPION, MODEL, OVERTAKEN, aliases, answering, client
from ecclip.registry.versions import PREVIOUS, PREVIOUS_DIGEST, ModelRef, champion, model_version, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ANY = "any"
_ENTRY = "champion_entry"  # tag: the line of the audit file that the version knows of
_LONGEST_TAG = 4000  # characters; MLflow takes 5000


def set_champion(version: str, reason: str, against: str | None = _ANY, wait_s: float = 60.0) -> ModelRef:
    """Move @champion to a version and return it; a version that already is champion stays and nothing is written.

    ``against`` is the bundle of the champion that the verdict was made against (None: there was none): if another
    promoter was faster, the verdict does not apply to the current champion. Without it (a rollback) any champion is
    replaced.

    Raises:
        GateError: another version became champion since the verdict.
        ServiceError: the registry does not answer, or another promoter holds the lock for ``wait_s`` seconds.
    """
    with locked(settings().work / "run" / "promote.lock", "the promotion", wait_s):
        target, current = model_version(version), champion()
        entry = target.tags.get(_ENTRY, "")
        if current is None or current.version != version:
            entry = new_entry()
            _move(target, _unless_overtaken(target, current, against), reason, entry)
        tell(model_version(version), None if current is None else current.version, reason, entry)
    return model_version(version)


def _unless_overtaken(target: ModelRef, current: ModelRef | None, against: str | None) -> ModelRef | None:
    if against not in (_ANY, None if current is None else current.digest):
        now_champion = "none" if current is None else f"version {current.version}"
        raise GateError(
            f"{now_champion} became champion after the verdict on version {target.version}",
            value=f"champion: {now_champion}",
            limit=f"champion at the verdict: bundle {against}",
            next_step="run the gate again",
        )
    return current


def complete_champion(version: str, reason: str, *, move: bool, wait_s: float = 60.0) -> ModelRef:
    """Enter that a version answers and is champion: what a person's request, or a promotion that was killed, left out.

    With ``move`` the alias was left behind and is moved there, if it still lies where alias and answers last agreed,
    or nowhere. Elsewhere it is a wish that came meanwhile, and stays; so it does without ``move``.

    Raises:
        ServiceError: the registry does not answer, or another promoter holds the lock for ``wait_s`` seconds.
    """
    with locked(settings().work / "run" / "promote.lock", "the promotion", wait_s):
        target, before, told = model_version(version), last_champion(), last_told()
        previous = None if before is None or before.version == version else before
        entry = told.get("entry", "") if told.get("bundle_digest") == target.digest else new_entry()
        with answering():
            store = client()
            _tag(store, target, previous, reason, entry)
            if move and aliases(store).get(CHAMPION) in (None, previous.version if previous else None):
                store.set_registered_model_alias(MODEL, CHAMPION, version)
            _end_challenge(store, version)
        tell(target, None if previous is None else previous.version, reason, entry)
    return model_version(version)


def enter_again(line: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Write on the versions of a lost or older registry what a line of the audit file says became of them.

    ``before`` is the line that it follows. A version that the registry does not have is left out.

    Raises:
        ServiceError: the registry does not answer.
    """
    target = version_of(line["bundle_digest"])
    if target is None:
        return
    previous = version_of(before["bundle_digest"]) if before else None
    with answering():
        _tag(client(), target, previous, line.get("reason", ""), line.get("entry", ""), line.get("at", ""))


def follow_answers(reference: ModelRef, wait_s: float = 60.0) -> None:
    """Let @champion be a version that answers, wherever a lost or older registry has the alias.

    Raises:
        ServiceError: the registry does not answer, or another promoter holds the lock for ``wait_s`` seconds.
    """
    with locked(settings().work / "run" / "promote.lock", "the promotion", wait_s), answering():
        client().set_registered_model_alias(MODEL, CHAMPION, reference.version)
        _end_challenge(client(), reference.version)


def is_entered(reference: ModelRef) -> bool:
    """Whether the registry knows what the audit file last said of a version; a registry from a backup may not."""
    told = last_told()
    if told.get("bundle_digest") != reference.digest:
        return True
    if "entry" not in told:  # of an older ecclip
        return "champion_reason" in reference.tags
    return bool(reference.tags.get(_ENTRY) == told["entry"])


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
    digest = last_told().get("bundle_digest", "")
    return version_of(digest) if digest else None


def _move(target: ModelRef, current: ModelRef | None, reason: str, entry: str) -> None:
    """Tags first, alias last: a reader that sees the alias also sees the tags that explain it."""
    with answering():
        store = client()
        _tag(store, target, current, reason, entry)
        fail_point("promote.tagged")
        store.set_registered_model_alias(MODEL, CHAMPION, target.version)
        fail_point("promote.moved")
        _end_challenge(store, target.version)
    previous = None if current is None else current.version
    get_logger().info("champion changed", version=target.version, previous=previous, reason=reason)


def _tag(
    store: MlflowClient, target: ModelRef, previous: ModelRef | None, reason: str, entry: str, at: str = ""
) -> None:
    """Write on both versions what became of them; what a refusal or a rollback said of the new champion is over."""
    # what it replaced when it first became champion: a rollback does not make the older one follow the newer
    first = previous is not None and "champion_reason" not in target.tags
    replaced = {PREVIOUS: previous.version, PREVIOUS_DIGEST: previous.digest} if first and previous else {}
    known = {_ENTRY: entry} if entry else {}
    told = replaced | known | {"champion_reason": reason, "champion_at": at or _time()}
    for name, value in told.items():
        store.set_model_version_tag(MODEL, target.version, name, value)
    for name in sorted({"refused_at", "refused_reason", "rolled_back", "replaced_by", OVERTAKEN} & {*target.tags}):
        store.delete_model_version_tag(MODEL, target.version, name)
    if previous is not None:
        older = (target.night, int(target.version)) < (previous.night, int(previous.version))
        name, value = ("rolled_back", reason) if older else ("replaced_by", target.version)
        store.set_model_version_tag(MODEL, previous.version, name, value)


def _end_challenge(store: MlflowClient, version: str) -> None:
    if aliases(store).get(CHALLENGER) == version:
        store.delete_registered_model_alias(MODEL, CHALLENGER)


def _time() -> str:
    return now().isoformat()
