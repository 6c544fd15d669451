"""The steps of a night's release agree with each other, can be run again, and leave the old version when they fail.

A table stands in for the inference server, whose own behaviour is shown by the tests of serving.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import write_bundle
from manifests import seal
from registries import MLFLOW_WARNINGS
from server_tables import ServerTable
from structlog.testing import capture_logs
from waiting import HANG_S

from ecclip import registry, release
from ecclip.core import ContractError, GateError, ServiceError, digest_of
from ecclip.registry import ModelRef

FIRST, SECOND = "2026-11-01", "2026-11-02"

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("server")]


def _bundle(workspace: Path, night: str, top1: float = 0.8) -> None:
    """Write what a night's training leaves: embeddings, and the bundle made from them."""
    folder, seed = workspace / "work" / "nights" / night, int(night[-2:])
    embedded = digest_of(seal(folder / "embed", "embed", f"{night}-{top1}"))
    write_bundle(folder / "bundle", night, {"category/both/top1": top1}, seed=seed, embedded=embedded)


def _release(night: str) -> None:
    release.register_night(night)
    release.gate_night(night)
    release.bless_night(night)
    assert release.promote_night(night)["promoted"]


def test_a_night_goes_from_bundle_to_champion_and_again_without_a_new_version(
    workspace: Path, server: ServerTable
) -> None:
    _bundle(workspace, FIRST)
    for _ in range(2):
        _release(FIRST)
    reigning = registry.champion()
    assert reigning is not None
    assert (reigning.version, reigning.night, server.live) == ("1", FIRST, 1)
    assert reigning.tags["blessing"] == "passed"
    assert len((workspace / "work/mlflow/audit.jsonl").read_text().splitlines()) == 1


def test_a_refused_gate_names_its_reasons_and_nothing_is_asked_of_the_server(
    workspace: Path, server: ServerTable
) -> None:
    _bundle(workspace, FIRST, top1=0.4)
    release.register_night(FIRST)
    with pytest.raises(GateError, match=r"category/both/top1: 0\.4000"):
        release.gate_night(FIRST)
    with pytest.raises(GateError, match="not passed by the gate"):
        release.promote_night(FIRST)
    assert server.calls == []


def test_a_version_that_nobody_judged_is_not_promoted(workspace: Path, server: ServerTable) -> None:
    _bundle(workspace, FIRST)
    release.register_night(FIRST)
    with pytest.raises(GateError, match="gate has not run"):
        release.promote_night(FIRST)
    assert server.calls == []


def test_a_refused_blessing_is_an_error_and_a_tag(workspace: Path, server: ServerTable) -> None:
    _bundle(workspace, FIRST)
    server.wrong = {1}
    release.register_night(FIRST)
    release.gate_night(FIRST)
    with pytest.raises(GateError, match="swapped labels"):
        release.bless_night(FIRST)
    assert registry.model_version("1").tags["blessing"] == "refused"
    assert server.live is None


def test_an_old_night_that_is_run_again_does_not_bring_its_model_back(workspace: Path, server: ServerTable) -> None:
    _bundle(workspace, FIRST)
    _release(FIRST)
    _bundle(workspace, SECOND)
    _release(SECOND)
    release.register_night(FIRST)
    release.gate_night(FIRST)
    assert release.bless_night(FIRST)["blessed"] is False
    assert release.promote_night(FIRST)["promoted"] is False
    reigning = registry.champion()
    assert reigning is not None
    assert (reigning.night, server.live) == (SECOND, 2)
    assert registry.model_version("1").aliases == ()


@pytest.mark.ops
@pytest.mark.fault(48)
def test_every_night_of_a_week_again_leaves_the_champion_and_nobody_to_wait_for(
    workspace: Path, server: ServerTable
) -> None:
    week = [f"2026-11-0{day}" for day in range(1, 8)]
    for night in week:
        _bundle(workspace, night)
        _release(night)
    for again, top1 in ((week, 0.81), (week[::-1], 0.82)):
        for night in again[::2]:  # by other code since: other bundles; the others are as they were
            _bundle(workspace, night, top1)
        for night in again:
            version = release.register_night(night)["version"]
            release.gate_night(night)
            blessed, promoted = release.bless_night(night), release.promote_night(night)
            assert promoted["promoted"] is (night == week[-1]), "what is not promoted raises no event"
            products = release.products_due(night)
            if night != week[-1]:
                assert (blessed["blessed"], "a later night, 2026-11-07" in promoted["reason"]) == (False, True)
                assert products["due"] is (night not in again[::2]), "no products of a model that never answered"
                assert ("never answered" in products["reason"]) is (night in again[::2])
                assert registry.model_version(version).tags["overtaken"] == promoted["reason"]
            assert registry.undecided() is None, "the next night does not wait for it"
            reigning = registry.champion()
            assert reigning is not None
            live = registry.live_record()
            assert live is not None
            assert (reigning.night, live.bundle) == (week[-1], reigning.digest)


@pytest.mark.ops
@pytest.mark.fault(48)
def test_an_old_night_that_the_gate_refuses_is_no_failure_and_holds_nobody_up(
    workspace: Path, server: ServerTable
) -> None:
    for night in (FIRST, SECOND):
        _bundle(workspace, night)
        _release(night)
    _bundle(workspace, FIRST, top1=0.1)
    version = release.register_night(FIRST)["version"]
    release.await_decision("2026-11-03", limit_s=HANG_S)  # though nobody has judged it yet
    asked = len(server.calls)
    found = release.gate_night(FIRST)
    assert (found["passed"], found["version"]) == (False, version)
    assert "2026-11-02" in found["reason"]
    tags = registry.model_version(version).tags
    assert (tags["gate"], tags["overtaken"]) == ("refused", found["reason"])
    assert registry.model_version(version).aliases == ()
    assert len(server.calls) == asked


@pytest.mark.ops
@pytest.mark.fault(48)
def test_the_products_of_a_night_are_those_of_a_model_that_answered(workspace: Path, server: ServerTable) -> None:
    with pytest.raises(ContractError, match="ecclip run embed --night 2026-11-01"):
        release.products_due(FIRST)
    _bundle(workspace, FIRST)
    assert "not registered" in release.products_due(FIRST)["reason"]
    _release(FIRST)
    assert release.products_due(FIRST) == {"night": FIRST, "due": True, "reason": ""}
    seal(workspace / "work" / "nights" / FIRST / "embed", "embed", "another training")
    assert "embedded anew" in release.products_due(FIRST)["reason"]


def test_when_the_alias_cannot_move_the_old_version_answers_again(
    workspace: Path, server: ServerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bundle(workspace, FIRST)
    _release(FIRST)
    _bundle(workspace, SECOND)
    release.register_night(SECOND)
    release.gate_night(SECOND)
    release.bless_night(SECOND)

    def silent(*_: object, **__: object) -> None:
        raise ServiceError("the registry does not answer", next_step="wait")

    with monkeypatch.context() as broken:
        broken.setattr(registry, "set_champion", silent)
        with pytest.raises(ServiceError, match="does not answer"):
            release.promote_night(SECOND)
    assert server.calls[-2:] == [("go_live", 2), ("roll_back", 1)]
    assert release.promote_night(SECOND)["promoted"]
    assert server.live == 2


def test_a_night_without_a_bundle_says_what_to_run(server: ServerTable) -> None:
    with pytest.raises(ContractError, match="ecclip run export --night 2026-11-01"):
        release.register_night(FIRST)
    assert server.calls == []


def test_a_night_waits_until_the_one_before_it_is_decided(
    workspace: Path, server: ServerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.await_decision(FIRST)  # nothing is registered
    _bundle(workspace, FIRST)
    release.register_night(FIRST)
    release.await_decision(FIRST)  # its own challenger is not waited for
    with capture_logs() as said:
        release.await_decision(SECOND, limit_s=0)
    assert [line["undecided"] for line in said if "still undecided" in line["event"]] == [FIRST], "it goes on then"

    looks, undecided = [], registry.undecided

    def look() -> ModelRef | None:
        looks.append(1)
        if len(looks) == 2:
            _release(FIRST)  # decided between the first look and the second
        return undecided()

    with monkeypatch.context() as watched:
        watched.setattr(registry, "undecided", look)
        release.await_decision(SECOND, limit_s=HANG_S)
    assert len(looks) == 2
    assert registry.champion() is not None

    _bundle(workspace, SECOND, top1=0.1)
    release.register_night(SECOND)
    with pytest.raises(GateError):
        release.gate_night(SECOND)
    assert registry.undecided() is None, "a refused challenger holds nobody up"


def test_a_version_that_was_rolled_back_is_not_promoted_again(workspace: Path, server: ServerTable) -> None:
    _bundle(workspace, FIRST)
    _release(FIRST)
    _bundle(workspace, SECOND)
    _release(SECOND)
    release.roll_back(reason="answers were wrong")
    with pytest.raises(GateError, match="not passed by the gate"):
        release.promote_night(SECOND)
    with pytest.raises(GateError, match="answers were wrong"):
        release.gate_night(SECOND)
    reigning = registry.champion()
    assert reigning is not None
    assert (reigning.version, server.live) == ("1", 1)
