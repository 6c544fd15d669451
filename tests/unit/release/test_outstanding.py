"""What is outstanding follows from the state: whichever events were lost, and in whichever order nights came."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.core import sha256_bytes
from ecclip.release import outstanding as state

pytestmark = [pytest.mark.ops, pytest.mark.fault(46)]

NIGHTS = ("2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04")


@dataclass
class Shop:
    """A shop whose Airflow hears any event or none; a night's bundle is refused if it is in ``bad``."""

    bad: frozenset[str]
    snapshots: dict[str, str] = field(default_factory=dict)
    bundles: dict[str, str] = field(default_factory=dict)  # night -> snapshot that it was made from
    versions: dict[str, str] = field(default_factory=dict)  # night -> fate, in the order of registration
    answering: str = ""
    answered: dict[str, str] = field(default_factory=dict)
    products: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)

    def world(self) -> state.World:
        nights = [
            state.Night(
                night, self.snapshots[night], self.bundles.get(night, ""), _bundle(night) * (night in self.bundles),
                self.answered.get(night, ""), night in self.products,
            )
            for night in sorted(self.snapshots)
        ]  # fmt: skip
        versions = [
            state.Version(str(number), night, _bundle(night), fate)
            for number, (night, fate) in enumerate(self.versions.items(), 1)
        ]
        return state.World(nights, versions, _bundle(self.answering) * bool(self.answering), self.answering)

    def publish(self, night: str) -> None:
        self.snapshots.setdefault(night, sha256_bytes(night.encode()))

    def train_towers(self, night: str) -> None:
        if night in self.snapshots:
            self.bundles[night] = self.snapshots[night]
            self.versions.setdefault(night, state.UNDECIDED)

    def deploy_bundle(self, night: str) -> None:
        if night in self.versions:
            self.versions[night] = state.DECIDED
            if night not in self.bad and night > self.answering:
                self.answering = night

    def product_groups(self, night: str) -> None:
        self.products.add(night)

    def catalog_answers(self, night: str) -> None:
        if night in self.snapshots and self.answering:
            self.answered[night] = _bundle(self.answering)

    def tick(self) -> bool:
        """Do what the reconciling task does, with everything that it starts; say whether there was anything."""
        found = state.outstanding(self.world())
        for version in found.passed_over:
            self.versions[list(self.versions)[int(version) - 1]] = state.DECIDED
        started = [work for work in found.work if work.run_id not in self.begun]
        for work in started:
            self.begun.append(work.run_id)
            getattr(self, work.dag)(work.night)
        return bool(started)


def _bundle(night: str) -> str:
    return sha256_bytes(f"bundle {night}".encode())


STEPS = ("publish", "train_towers", "deploy_bundle", "product_groups", "catalog_answers", "tick")
EVENTS = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(NIGHTS)), max_size=25)


@given(events=EVENTS, last=st.permutations(NIGHTS), bad=st.frozensets(st.sampled_from(NIGHTS)))
def test_whatever_was_heard_in_whatever_order_the_newest_night_is_trained_judged_and_answered(
    events: list[tuple[str, str]], last: list[str], bad: frozenset[str]
) -> None:
    shop = Shop(bad)
    for step, night in [*events, *(("publish", night) for night in last)]:
        shop.tick() if step == "tick" else getattr(shop, step)(night)
    rounds = 0
    while shop.tick():
        rounds += 1
    assert rounds <= 2 * len(NIGHTS) + 2, "it comes to an end"
    assert len(shop.begun) == len(set(shop.begun)), "nothing is begun twice in the same state"
    found = state.outstanding(shop.world())
    assert (found.work, dict(found.passed_over)) == ((), {})
    assert NIGHTS[-1] in shop.bundles
    assert set(shop.versions.values()) == {state.DECIDED}
    assert found.overtaken.keys() == set(NIGHTS) - shop.bundles.keys(), "what was overtaken says so"
    trained_well = shop.versions.keys() - bad
    assert (shop.answering == NIGHTS[-1]) == (NIGHTS[-1] not in bad)
    assert bool(shop.answering) == bool(trained_well & {shop.answering}) or not trained_well
    if shop.answering:
        assert shop.answered[NIGHTS[-1]] == _bundle(shop.answering)
        assert shop.answering in shop.products


def test_what_is_overtaken_and_what_is_begun_say_why() -> None:
    shop = Shop(frozenset())
    for night in NIGHTS[:3]:
        shop.publish(night)
    found = state.outstanding(shop.world())
    assert [(work.dag, work.night, work.why) for work in found.work] == [
        ("train_towers", NIGHTS[2], "its snapshot has no bundle")
    ]
    assert found.overtaken == dict.fromkeys(NIGHTS[:2], f"the night {NIGHTS[2]} is trained instead")
    shop.train_towers(NIGHTS[0])
    shop.train_towers(NIGHTS[2])
    shop.deploy_bundle(NIGHTS[2])
    found = state.outstanding(shop.world())
    assert found.passed_over == {"1": f"a later night, {NIGHTS[2]}, answers"}
    assert [work.dag for work in found.work] == ["product_groups", "catalog_answers"]
    shop.snapshots[NIGHTS[2]] = sha256_bytes(b"corrected")
    first, *_ = state.outstanding(shop.world()).work
    assert (first.dag, first.why) == ("train_towers", "its bundle is of another snapshot")
    assert state.outstanding(state.World(())).work == ()
