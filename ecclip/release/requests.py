"""What a person asks for by moving @champion, and whatever else lets alias and answers differ: brought together.

``live.json`` says what answers, the alias is a wish. Three versions decide what a difference means: the alias, what
answers, and what both last agreed on (the last line of the audit file). An alias that has left that version was moved
by a person: a request. One that is still there was left behind by a promotion that was killed: it follows.
"""

from __future__ import annotations

from typing import Any

from ecclip import registry
from ecclip.core import ContractError, GateError, bind, fail_point, get_logger, settings
from ecclip.registry import ModelRef
from ecclip.release.agreement import agreement
from ecclip.release.steps import deployment_lock, examine, judge, let_answer, meant

_MOVED = "moved in the registry"


def reconcile() -> dict[str, Any]:
    """Make alias, ``live.json`` and server agree, and return what answers and what was done: nothing, where they do.

    A request is judged if it was not, blessed and deployed; a version that answered before goes live without a
    verdict, which is a rollback. A refused one loses the alias and carries the reason (tag ``refused_reason``); the tag
    ``force`` passes the gate, never the blessing. An alias that is moved meanwhile is looked at again: the last wish
    wins. Killed anywhere, the next call goes on. A server that lags behind what answers is named, and an error where
    nothing else changed.

    Raises:
        IntegrityError: the registry does not know the bundle that answers; names the way out.
        ServiceError: registry or servers do not answer, or another deployment takes too long; the wish stays.
    """
    from ecclip.serving import live_version, reconcile_servers, require_reconciled

    bind(run=settings().run_id)
    done: list[str] = []
    with deployment_lock():
        before = live_version()
        while step := _step():
            get_logger().info("reconciled", did=step)
            done.append(step)
        servers = reconcile_servers()
        found, changed = agreement(), live_version() != before
    if not changed:  # who hears of a change must hear of it; the next call raises
        require_reconciled(servers)
    done += [str(server) for server in servers if server.repaired or server.lags]
    wish, answers = found.wish, found.answers
    return {
        "champion": wish.version if wish else None,
        "version": answers.version if answers else None,
        "digest": answers.digest if answers else "",
        "night": answers.night if answers else "",
        "changed": changed,
        "done": "; ".join(done),
    }


def roll_back(to: str | None = None, reason: str = "") -> dict[str, Any]:
    """Let an earlier champion answer again: the alias is moved as a person would, and reconciled.

    ``to`` is a version; without it, the one that what answers has replaced when it first became champion.

    Raises:
        GateError: nothing answers, nothing answered before, or ``to`` was never champion.
        ServiceError: as :func:`reconcile`; the wish stays, and the next call grants it.
    """
    with deployment_lock():
        answers = agreement().answers
        before = registry.replaced_by(answers, registry.all_versions()) if answers and not to else None
        target = to or (before.version if before else None)
        if answers is None or target is None:
            raise GateError(
                "there is nothing to roll back to",
                value="nothing answers" if answers is None else f"version {answers.version} is the first champion",
                next_step="name a version: ecclip release rollback --to N",
            )
        if "champion_reason" not in registry.model_version(target).tags:
            raise GateError(
                "only what answered before can be rolled back to",
                value=f"version {target}",
                next_step="move @champion to it: that is a request, which is judged and blessed",
            )
        registry.ask_for(target, reason)
        fail_point("rollback.asked")
        return {"from": answers.version, **reconcile()}


def _step() -> str:
    """Do one thing about the difference and say it; an empty text where there is none."""
    found = agreement()
    match found.means:
        case "request" if found.wish:
            return _grant(found.wish, found.answers)
        case "unentered" if found.wish:
            reason = found.wish.tags.get("champion_reason", _why(found.wish))
            registry.complete_champion(found.wish.version, reason, move=False)
            return f"version {found.wish.version} answers: its promotion is entered"
        case "left behind" | "older registry" if found.answers:
            return _follow(found.answers, found.wish, found.means)
    return ""


def _follow(answers: ModelRef, wish: ModelRef | None, means: str) -> str:
    """Give the alias to what answers."""
    reason = f"it answers, and {'nobody moved the alias' if means == 'left behind' else 'the registry is older'}"
    if wish is not None and means == "older registry":
        registry.refuse_champion(wish.version, f"version {answers.version} stays: {reason}", answers.version)
    registry.complete_champion(answers.version, reason, move=True)
    return f"@champion follows version {answers.version}: {reason}"


def _grant(wish: ModelRef, answers: ModelRef | None) -> str:
    """Deploy what the alias asks for, or refuse it with the reason on the version."""
    try:
        forced = _judged(wish)
        if not _deploy(wish):
            return f"version {wish.version} was asked for, and then another one"
    except (GateError, ContractError) as error:  # of the version; what registry or server lack is raised
        registry.refuse_champion(wish.version, str(error), answers.version if answers else None)
        return f"version {wish.version} is refused: {error}"
    fail_point("request.live")
    reason = _why(wish) + (f"; past the gate: {forced}" if forced else "")
    registry.complete_champion(wish.version, reason, move=False)  # wherever the alias is by now is the next wish
    return f"version {wish.version} answers"


def _judged(wish: ModelRef) -> str:
    """Pass a version that answered before or that the gate passed; return why it was forced past the gate, if so.

    Raises:
        GateError: the gate refuses, and nobody forces it.
    """
    if "champion_reason" in wish.tags or wish.tags.get("gate") == "passed":
        return ""
    verdict = judge(wish.version)
    if verdict.passed:
        return ""
    reasons = "; ".join(verdict.reasons)
    if force := wish.tags.get("force", "").strip():
        get_logger().warning("forced past the gate", version=wish.version, reason=force, refused=reasons)
        registry.tag_version(wish.version, {"forced": f"{force} (the gate: {reasons})"})
        return force
    raise GateError(
        f"the gate refuses version {wish.version}",
        value=reasons,
        next_step="; ".join(
            ["set the tag force to a reason and move the alias again, if it must answer", *meant(verdict)]
        ),
    )


def _deploy(wish: ModelRef) -> bool:
    """Let a version answer; return False where the alias was moved on before it did."""
    from ecclip.serving import blessed_version, require_answering, roll_back

    known = blessed_version(wish.digest) if "champion_reason" in wish.tags else None
    if known is not None:
        roll_back(known)
        require_answering(wish.digest)
        return True
    number, _ = examine(wish)
    latest = registry.champion()
    if latest is None or latest.digest != wish.digest:
        return False
    let_answer(wish, number)
    return True


def _why(wish: ModelRef) -> str:
    """Return who moved the alias and why, as far as the version's tags say it."""
    by, reason = (wish.tags.get(name, "").strip() for name in ("approved_by", "reason"))
    return _MOVED + (f" by {by}" if by else "") + (f": {reason}" if reason else "")
