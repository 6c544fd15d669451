"""Moving @champion is a request: granted or refused with a reason, and alias and answers agree again.

A table stands in for the inference server; tests/faults and tests/e2e do the same with a real one.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS, mlflow_client
from server_tables import ServerTable

from ecclip import registry, release
from ecclip.core import GateError, IntegrityError
from ecclip.formats.start import read_start

NIGHTS = ("2026-11-01", "2026-11-02", "2026-11-03")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("server")]


def _registered(workspace: Path, night: str, top1: float = 0.8) -> str:
    folder = workspace / "work" / "nights" / night / "bundle"
    write_bundle(folder, night, {"category/both/top1": top1}, seed=int(night[-2:]))
    return str(release.register_night(night)["version"])


def _promoted(workspace: Path, night: str) -> str:
    version = _registered(workspace, night)
    release.gate_night(night)
    release.bless_night(night)
    assert release.promote_night(night)["promoted"]
    return version


def _move(version: str) -> None:
    mlflow_client().set_registered_model_alias("ecclip", "champion", version)


def _tag(version: str, **tags: str) -> None:
    for name, value in tags.items():
        mlflow_client().set_model_version_tag("ecclip", version, name, value)


def _tags(version: str) -> dict[str, str]:
    return dict(registry.model_version(version).tags)


def _agreed() -> str | None:
    """Return the version on which alias and answers agree; the next call finds nothing to do."""
    wish, answers = registry.champion(), registry.deployed()
    assert wish == answers or (wish is not None and answers is not None and wish.version == answers.version)
    assert release.reconcile()["done"] == ""
    return None if wish is None else wish.version


def test_a_version_that_nobody_judged_is_judged_blessed_and_deployed(workspace: Path, server: ServerTable) -> None:
    first = _promoted(workspace, NIGHTS[0])
    second = _registered(workspace, NIGHTS[1])
    _tag(second, approved_by="Kim", reason="better with shoes")
    _move(second)
    assert release.reconcile() | {"digest": ""} == {
        "champion": second, "version": second, "digest": "", "night": NIGHTS[1], "changed": True,
        "done": f"version {second} answers",
    }  # fmt: skip
    assert _agreed() == second
    tags = _tags(second)
    assert (tags["gate"], tags["gate_champion"], tags["blessing"]) == ("passed", first, "passed")
    assert tags["champion_reason"] == "moved in the registry by Kim: better with shoes"
    assert tags["champion_at"] >= _tags(first)["champion_at"]
    assert tags["previous_champion"] == first
    assert server.calls[-3:] == [("stage", 2), ("bless", 2), ("go_live", 2)]
    line = json.loads((workspace / "work" / "mlflow" / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["version"], line["previous"], line["reason"]) == (second, first, tags["champion_reason"])
    assert registry.undecided() is None, "it is no challenger any more"
    page = (workspace / "work" / "reports" / NIGHTS[1] / "report.html").read_text()
    assert "may become champion" in page
    assert f"the champion, version {first}" in page


def test_an_older_version_is_the_rollback_and_may_be_taken_back(workspace: Path, server: ServerTable) -> None:
    first, second = (_promoted(workspace, night) for night in NIGHTS[:2])
    for version, old in ((first, second), (second, first)):
        _tag(version, reason="answers of lamps")
        _move(version)
        release.reconcile()
        assert _agreed() == version
        assert server.calls[-1] == ("roll_back", int(version)), "no gate, no blessing: it answered before"
        assert "rolled_back" not in _tags(version)
        assert _tags(old).get("rolled_back") == ("moved in the registry: answers of lamps" if old == second else None)
    _move(first)
    release.reconcile()
    with pytest.raises(GateError, match="rolled back"):
        release.gate_night(NIGHTS[1])


def test_what_the_gate_refuses_loses_the_alias_and_carries_the_reason(workspace: Path, server: ServerTable) -> None:
    first = _promoted(workspace, NIGHTS[0])
    bad = _registered(workspace, NIGHTS[1], top1=0.7)
    server.calls.clear()
    _move(bad)
    assert f"version {bad} is refused" in release.reconcile()["done"]
    assert _agreed() == first
    assert "0.7000 against the champion's 0.8000" in _tags(bad)["refused_reason"]
    assert server.calls == []
    _tag(bad, force="the old one may not be sold any more")
    _move(bad)
    release.reconcile()
    assert _agreed() == bad
    tags = _tags(bad)
    assert tags["forced"].startswith("the old one may not be sold any more (the gate: category/both/top1: 0.7000")
    assert tags["champion_reason"].endswith("past the gate: the old one may not be sold any more")
    assert "refused_reason" not in tags


def test_a_forced_version_must_still_be_blessed(workspace: Path, server: ServerTable) -> None:
    first = _promoted(workspace, NIGHTS[0])
    bad = _registered(workspace, NIGHTS[1], top1=0.7)
    server.wrong = {int(bad)}
    _tag(bad, force="now")
    _move(bad)
    release.reconcile()
    assert _agreed() == first
    assert "swapped labels" in _tags(bad)["refused_reason"]


def test_a_damaged_or_foreign_version_is_refused_in_words(workspace: Path) -> None:
    first = _promoted(workspace, NIGHTS[0])
    damaged = _registered(workspace, NIGHTS[1])
    stored = workspace / "work" / "bundles" / registry.model_version(damaged).digest
    (stored / "towers" / "towers.safetensors").write_bytes(b"half")
    foreign = mlflow_client().create_model_version("ecclip", source="s3://somewhere/model").version
    for version, reason in ((damaged, "does not match its digest"), (str(foreign), "missing or does not match")):
        _move(version)
        release.reconcile()
        assert _agreed() == first
        assert reason in _tags(version)["refused_reason"]


def test_the_first_champion_may_be_made_by_hand(workspace: Path) -> None:
    bad = _registered(workspace, NIGHTS[0], top1=0.4)
    _move(bad)
    release.reconcile()
    assert _agreed() is None, "nothing answers, and nothing is champion"
    assert "beyond the floor" in _tags(bad)["refused_reason"]
    good = _registered(workspace, NIGHTS[1], top1=0.6)
    _move(good)
    release.reconcile()
    assert _agreed() == good
    assert _tags(good)["gate_champion"] == "none"


def test_the_command_rolls_back_as_a_person_does_and_only_to_what_answered_before(workspace: Path) -> None:
    first, second = (_promoted(workspace, night) for night in NIGHTS[:2])
    third = _registered(workspace, NIGHTS[2])
    with pytest.raises(GateError, match="answered before"):
        release.roll_back(third)
    done = release.roll_back(reason="lamps are called mugs")
    assert (done["from"], done["version"], done["changed"]) == (second, first, True)
    assert _tags(second)["rolled_back"] == "moved in the registry: lamps are called mugs"
    with pytest.raises(GateError, match="first champion"):
        release.roll_back()
    assert release.roll_back(second)["version"] == second
    assert _agreed() == second
    assert release.state() == {
        "champion": second, "answers": second, "lineage_id": registry.model_version(second).lineage_id, "live": 2,
        "servers": {}, "state": "agree",
    }  # fmt: skip
    _move(first)
    assert "the alias: request: ecclip release reconcile" in release.state()["state"]


@pytest.mark.parametrize("refused", [False, True])
def test_the_last_of_two_wishes_wins(
    workspace: Path, server: ServerTable, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    _promoted(workspace, NIGHTS[0])
    second, third = (_registered(workspace, night) for night in NIGHTS[1:])
    server.wrong = {int(second)} if refused else set()
    bless = server.bless

    def moved_meanwhile(version: int, cfg: object) -> SimpleNamespace:
        if str(version) == second:
            _move(third)
        return bless(version, cfg)

    monkeypatch.setattr("ecclip.serving.bless", moved_meanwhile)
    _move(second)
    release.reconcile()
    assert _agreed() == third
    assert ("go_live", int(second)) not in server.calls
    assert ("refused_reason" in _tags(second)) == refused


def test_a_wish_that_is_taken_back_while_it_is_granted_is_the_next_wish(
    workspace: Path, server: ServerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _promoted(workspace, NIGHTS[0])
    second = _registered(workspace, NIGHTS[1])
    go_live = server.go_live

    def taken_back(version: int, cfg: object) -> None:
        go_live(version, cfg)
        _move(first)  # where alias and answers last agreed

    monkeypatch.setattr("ecclip.serving.go_live", taken_back)
    _move(second)
    assert release.reconcile()["done"] == f"version {second} answers; version {first} answers"
    assert _agreed() == first


def test_an_alias_that_was_removed_comes_back(workspace: Path) -> None:
    first = _promoted(workspace, NIGHTS[0])
    mlflow_client().delete_registered_model_alias("ecclip", "champion")
    assert "follows version 1" in release.reconcile()["done"]
    assert _agreed() == first


def test_nights_build_on_and_are_compared_with_what_answers_whatever_the_alias_says(workspace: Path) -> None:
    first = _promoted(workspace, NIGHTS[0])
    _move(_registered(workspace, NIGHTS[1], top1=0.7))
    _registered(workspace, NIGHTS[2])
    assert release.gate_night(NIGHTS[2])["champion"] == first
    (workspace / "work" / "snapshots" / NIGHTS[2]).mkdir(parents=True)
    output = workspace / "work" / "nights" / NIGHTS[2] / "start"
    registry.start(cfg=registry.StartConfig(), snapshot=workspace / "work" / "snapshots" / NIGHTS[2], output=output)
    assert read_start(output).version == first


def test_a_night_lets_a_person_go_first_and_is_compared_anew(workspace: Path) -> None:
    first, second = (_promoted(workspace, night) for night in NIGHTS[:2])
    third = _registered(workspace, NIGHTS[2])
    release.gate_night(NIGHTS[2])
    release.bless_night(NIGHTS[2])
    _move(first)
    with pytest.raises(GateError, match=f"version {first} became champion after the verdict"):
        release.promote_night(NIGHTS[2])
    assert _agreed() == first
    assert "rolled_back" in _tags(second)
    release.gate_night(NIGHTS[2])
    assert release.promote_night(NIGHTS[2])["promoted"]
    assert _agreed() == third


@pytest.mark.ops
@pytest.mark.fault(24)
@pytest.mark.fault(47)  # every other damage: tests/faults/test_registry_is_lost.py
def test_a_registry_that_is_older_than_what_answers_does_not_bring_the_old_version_back(workspace: Path) -> None:
    first = _promoted(workspace, NIGHTS[0])
    empty = _backup(workspace)
    second = _registered(workspace, NIGHTS[1])
    unpromoted = _backup(workspace)
    release.gate_night(NIGHTS[1])
    release.bless_night(NIGHTS[1])
    release.promote_night(NIGHTS[1])

    _restore(workspace, unpromoted)
    assert registry.champion() == registry.model_version(first)
    assert "the registry is older" in release.reconcile()["done"]
    assert _agreed() == second

    _restore(workspace, empty)
    _registered(workspace, NIGHTS[2])
    for ask in (release.reconcile, registry.reigning):
        with pytest.raises(IntegrityError, match="ecclip registry rebuild"):
            ask()
    with pytest.raises(IntegrityError, match="does not know the bundle that answers"):
        release.gate_night(NIGHTS[2])
    again = release.rebuild_registry()["champion"]
    assert _agreed() == again, "found by its bundle, whatever number it has now"


def _backup(workspace: Path) -> sqlite3.Connection:
    copy = sqlite3.connect(":memory:")
    with sqlite3.connect(workspace / "work" / "mlflow" / "mlflow.db") as store:
        store.backup(copy)
    store.close()
    return copy


def _restore(workspace: Path, copy: sqlite3.Connection) -> None:
    with sqlite3.connect(workspace / "work" / "mlflow" / "mlflow.db") as store:
        copy.backup(store)
    store.close()
