"""The shop's labels change: what is compared is what both models know, and a meant change passes by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from label_nights import BASE, COLOURS, changed, registered, score
from registries import MLFLOW_WARNINGS

from ecclip import registry
from ecclip.registry import GateConfig, MetricGate, Verdict
from ecclip.tasks import check_claims

pytestmark = [
    pytest.mark.filterwarnings(*MLFLOW_WARNINGS),
    pytest.mark.usefixtures("workspace"),
    pytest.mark.fault(50),
    pytest.mark.ops,
]

TOP1, ACCURACY = "category/both/top1", "attributes/both/accuracy"
METRICS = {
    TOP1: MetricGate(floor=0.3, allowed_drop=0.02),
    ACCURACY: MetricGate(allowed_drop=0.02, floor=0.3),
}
CFG = GateConfig(metrics=METRICS)

FINER = changed(BASE, k0=["home", "mugs", "travel"], k1=["home", "mugs", "tea"])
RENAMED = changed(FINER, k6=["garden", "implements"])
SPLIT = changed(RENAMED, k4=["garden", "clay"], k5=["garden", "plastic"])
SPLIT_AND_MERGED = changed(SPLIT, k2=["home", "decor"], k3=["home", "decor"])
COARSER = changed(SPLIT_AND_MERGED, k0=["home", "mugs"], k1=["home", "mugs"])
MIXES_ROOTS = {kind: (kind + 4) % 8 for kind in (0, 1, 4, 5)}  # half of what there is, taken for the other root


def _gate(version: str, **more: Any) -> Verdict:
    cfg = GateConfig.model_validate({"metrics": METRICS, **more})
    return registry.check_gate(cfg, version, prove=check_claims, score=score)


def _accepting(verdict: Verdict) -> dict[str, Any]:
    """Return the section that the refusal names, as a person would copy it into params.yaml."""
    section: dict[str, Any] = yaml.safe_load("{" + verdict.way_out.partition(": ")[2] + "}")["gate"]
    return section


def _row(verdict: Verdict, metric: str = TOP1) -> dict[str, Any]:
    return next(row for row in verdict.compared if row["metric"] == metric)


def test_a_category_tree_that_changes_every_night_is_compared_on_what_both_know(tmp_path: Path) -> None:
    trees = (BASE, FINER, RENAMED, SPLIT_AND_MERGED, COARSER)
    levels = ({"2": 240}, {"1": 30, "2": 150, "3": 60}, {"1": 120, "2": 60, "3": 60}, {"2": 240})
    for number, tree in enumerate(trees):
        version = registered(tmp_path, f"2026-11-0{number + 1}", tree)
        verdict = _gate(version)
        assert verdict.passed, verdict.reasons
        if number:
            against = [row for row in verdict.labels if row["against"] == "the champion"]
            assert [(row["head"], row["levels"], row["left_out"]) for row in against] == [
                ("category", levels[number - 1], 0)
            ]
            common = _row(verdict)["on_common_labels"]
            assert common["challenger"] == common["champion"] > _row(verdict)["challenger"] - 1e-9
            assert common["rows"] == 240
            assert verdict.notes[0].startswith("category: ")
        registry.set_champion(version, "test")


def test_a_model_that_is_worse_at_what_both_know_does_not_hide_behind_other_labels(tmp_path: Path) -> None:
    registry.set_champion(registered(tmp_path, "2026-11-01"), "test")
    within = registered(tmp_path, "2026-11-02", FINER, {0: 1, 1: 0})
    verdict = _gate(within)
    assert verdict.passed, "what lies below the level that both know is the floor's"
    assert _row(verdict)["challenger"] < _row(verdict)["champion"]
    unasked = registry.check_gate(CFG, within)  # where the champion's bundle cannot be asked, say
    assert unasked.reasons == (
        f"{TOP1}: its labels are not those of the champion, which cannot be asked about tonight's listings",
    )
    assert registry.check_gate(CFG.model_copy(update=_accepting(unasked)), within).passed

    worse = registered(tmp_path, "2026-11-03", FINER, MIXES_ROOTS)
    refused = _gate(worse)
    reason = next(reason for reason in refused.reasons if reason.startswith(TOP1))
    assert "on 240 test listings in classes that both know: worse by more than 0.0200" in reason
    name, named = next(iter(refused.if_meant.items()))
    assert named == [TOP1, "category/both", "category/image", "category/text"]
    meant = _gate(worse, accepted={name: ["*"]})
    assert {reason.partition("/")[0] for reason in meant.reasons} == {"attributes"}, "their labels are as they were"
    assert meant.if_meant == {}


def test_a_meant_change_passes_by_its_name_and_the_next_one_does_not(tmp_path: Path) -> None:
    """Every root has another name: the two have no class in common, and nobody can say which model is better."""
    registry.set_champion(registered(tmp_path, "2026-11-01"), "test")
    yard = [["casa" if path[0] == "home" else "yard", *path[1:]] for path in BASE]
    version = registered(tmp_path, "2026-11-02", yard)
    refused = _gate(version)
    assert refused.reasons == (
        f"{TOP1}: its labels are not those of the champion, and 0 test listings have a class that both know",
    )
    assert refused.way_out in registry.model_version(version).tags["gate_reasons"]
    meant = _accepting(refused)
    assert list(meant["accepted"].values()) == [[TOP1]]

    floor = GateConfig.model_validate({"metrics": {TOP1: {"floor": 0.99}}, **meant})
    assert not registry.check_gate(floor, version, score=score).passed, "a floor is a floor"
    passed = _gate(version, **meant)
    assert passed.passed, passed.reasons
    assert _row(passed)["accepted"] == next(iter(meant["accepted"]))
    assert f"{TOP1} is not held against champions from before the labels changed" in passed.notes[-1]
    registry.set_champion(version, "test")

    same = _gate(registered(tmp_path, "2026-11-03", yard), **meant)
    assert same.passed, "champions from before the change bind nobody any more"
    worse = _gate(registered(tmp_path, "2026-11-04", yard, MIXES_ROOTS), **meant)
    assert "against the champion's" in worse.reasons[0], "the new labels have a history of their own"
    other = _gate(registered(tmp_path, "2026-11-05"), **meant)  # and back again
    assert not other.passed, "the line in params.yaml lets no other change pass"
    assert set(other.if_meant) != set(meant["accepted"])


def test_values_of_an_attribute_are_compared_as_far_as_both_know_them(tmp_path: Path) -> None:
    registry.set_champion(registered(tmp_path, "2026-11-01"), "test")
    merged = ["blue" if colour == "navy" else colour for colour in COLOURS]
    verdict = _gate(registered(tmp_path, "2026-11-02", colours=merged))
    assert verdict.passed, verdict.reasons
    (row,) = verdict.labels
    assert (row["head"], row["gained"], row["lost"]) == ("attribute:color", 0, 1)
    assert (row["levels"], row["left_out"]) == ({"1": 240}, 0)
    worse = _gate(registered(tmp_path, "2026-11-03", colours=merged, confused={0: 5, 1: 5, 5: 0}))
    assert f"{ACCURACY}: " in worse.reasons[0]
    assert ACCURACY in next(iter(worse.if_meant.values()))
