"""What is to be done about the nights, by the state alone: snapshots without a bundle, bundles without a verdict, a
champion without answers or products.

An event may be lost: Airflow drops one that comes while a run is queued. What this finds, it finds at any later time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

UNDECIDED, PASSED, DECIDED = "undecided", "passed", "decided"  # what became of a version


@dataclass(frozen=True)
class Night:
    """A published night: the digest of its snapshot, and of the one that its bundle was made from (empty: no bundle).

    ``bundle`` is the digest of that bundle, ``answered_by`` that of the bundle that answered its listings.
    """

    night: str
    snapshot: str
    trained_on: str = ""
    bundle: str = ""
    answered_by: str = ""
    has_products: bool = False

    @property
    def is_trained(self) -> bool:
        """Whether its bundle was made from its snapshot as it is."""
        return self.trained_on == self.snapshot


@dataclass(frozen=True)
class Version:
    """A version of the registry, oldest first: ``fate`` is one of the three words above."""

    version: str
    night: str
    digest: str
    fate: str


@dataclass(frozen=True)
class World:
    """What the workspace and its registry hold; ``answering`` is the bundle that answers, of ``answering_night``."""

    nights: Sequence[Night]
    versions: Sequence[Version] = ()
    answering: str = ""
    answering_night: str = ""


@dataclass(frozen=True)
class Work:
    """A DAG to be run for a night, and why; ``state`` is what it was found in: the same work is begun once for it."""

    dag: str
    night: str
    why: str
    state: str
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """The run that does it: another state asks for another one."""
        return f"reconcile__{self.dag}__{self.night}__{self.state[:16]}"


@dataclass(frozen=True)
class Outstanding:
    """The work, what newer nights have overtaken (night to reason), and versions that lose their challenge for it."""

    work: tuple[Work, ...]
    overtaken: Mapping[str, str]
    passed_over: Mapping[str, str]


def outstanding(world: World) -> Outstanding:
    """Return what is to be done in a world; nothing in one that is up to date, whichever events were heard.

    The newest night is trained; older ones that have no bundle are overtaken by it. Of the versions without a verdict
    the newest is judged first, and one that is older than what answers not at all.
    """
    if not world.nights:
        return Outstanding((), {}, {})
    newest = world.nights[-1]
    registered = {version.digest for version in world.versions}
    overtaken = {
        night.night: f"the night {newest.night} is trained instead"
        for night in world.nights[:-1]
        if not night.is_trained and night.bundle not in registered
    }
    waiting = [one for one in world.versions if one.fate != DECIDED and one.digest != world.answering]
    behind = {
        one.version: f"a later night, {world.answering_night}, answers"
        for one in waiting
        if one.fate == UNDECIDED and one.night < world.answering_night
    }
    ahead = [one for one in waiting if one.night >= world.answering_night]
    work = [*_train(newest, registered), *_deploy(ahead, world), *_answer(world)]
    return Outstanding(tuple(work), overtaken, behind)


def _train(newest: Night, registered: Iterable[str]) -> list[Work]:
    if not newest.is_trained:
        why = "its bundle is of another snapshot" if newest.trained_on else "its snapshot has no bundle"
    elif newest.bundle not in registered:
        why = "its bundle is not registered"
    else:
        return []
    return [Work("train_towers", newest.night, why, newest.snapshot)]


def _deploy(ahead: Sequence[Version], world: World) -> list[Work]:
    if not ahead:
        return []
    one = max(ahead, key=lambda version: (version.night, int(version.version)))
    why = "no verdict" if one.fate == UNDECIDED else "a verdict, and was not promoted"
    # what it is compared with belongs to the state: another champion asks for another verdict
    state = f"{one.digest[:8]}{world.answering[:8]}"
    return [Work("deploy_bundle", one.night, f"version {one.version} has {why}", state, {"version": one.version})]


def _answer(world: World) -> list[Work]:
    if not world.answering:
        return []
    newest, work = world.nights[-1], []
    own = next((night for night in world.nights if night.night == world.answering_night), None)
    if own is not None and not own.has_products:
        work.append(Work("product_groups", own.night, "the champion's night has no products", world.answering))
    if newest.answered_by != world.answering:
        state = f"{newest.snapshot[:8]}{world.answering[:8]}"
        work.append(Work("catalog_answers", newest.night, "what answers now has not answered its listings", state))
    return work
