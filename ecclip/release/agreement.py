"""What alias, ``live.json`` and the server say, and what it means where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ecclip import registry
from ecclip.core import EcclipError
from ecclip.registry import ModelRef


@dataclass(frozen=True)
class Agreement:
    """The version that carries @champion, the one that answers, and the one on which both last agreed.

    ``known``: the registry knows of that last agreement, as one that was restored from a backup may not.
    """

    wish: ModelRef | None
    answers: ModelRef | None
    agreed: ModelRef | None
    known: bool = True

    @property
    def means(self) -> Literal["", "request", "unentered", "left behind", "older registry"]:
        """What is to be done about a difference; nothing where there is none.

        ``request``: a person moved the alias. ``unentered``: a promotion went live and was killed before it was
        entered. ``left behind``: the alias lies where both last agreed, or nowhere, and follows what answers. ``older
        registry``: it does not know that both agreed on what answers; the alias follows.
        """
        if self.answers is None:
            return "request" if self.wish else ""
        if self.wish is not None and self.wish.digest == self.answers.digest:
            return "" if _same(self.agreed, self.wish) and self.known else "unentered"
        if self.wish is None or _same(self.agreed, self.wish):
            return "left behind"
        return "request" if self.known else "older registry"


def agreement() -> Agreement:
    """Ask registry and ``live.json``.

    Raises:
        IntegrityError: the registry does not know the bundle that answers; names the way out.
        ServiceError: the registry does not answer.
    """
    answers = registry.deployed()  # which an empty registry beside it cannot name: an error
    if not registry.has_store():
        return Agreement(None, None, None)
    known = answers is None or registry.is_entered(answers)
    return Agreement(registry.champion(), answers, registry.last_champion(), known)


def requested() -> str:
    """Return the version that a person asks for by the alias and that does not answer yet, or an empty text."""
    found = agreement()
    return found.wish.version if found.means == "request" and found.wish is not None else ""


def state() -> dict[str, Any]:
    """Return what ``ecclip status`` shows: alias, ``live.json``, each server, and any difference in words.

    A registry that cannot be used is a ``reason``, and hides nothing that the servers say.
    """
    from ecclip.serving import live_version, served

    try:
        live, servers = live_version(), served()
    except EcclipError as error:
        return {"state": "unknown", "reason": str(error)}
    differences = [f"{address}: {_in_words(says)}" for address, says in servers.items() if says != _list(live)]
    try:
        found = agreement()
    except EcclipError as error:
        state = "; ".join(["unknown", *differences])
        return {"live": live, "servers": servers, "state": state, "reason": str(error)}
    if found.means:
        differences.insert(0, f"the alias: {found.means}")
    return {
        "champion": found.wish.version if found.wish else None,
        "answers": found.answers.version if found.answers else None,
        "lineage_id": found.answers.lineage_id if found.answers else None,
        "live": live,
        "servers": servers,
        "state": "; ".join(differences) + ": ecclip release reconcile" if differences else "agree",
    }


def _in_words(says: list[int] | str) -> str:
    return says if isinstance(says, str) else f"serves {says or 'nothing'}"


def _list(version: int | None) -> list[int]:
    return [] if version is None else [version]


def _same(one: ModelRef | None, other: ModelRef) -> bool:
    return one is not None and one.digest == other.digest
