"""A challenger whose labels are not those of champions: what is compared, what refuses, and how it is accepted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from bundles import DIM, Taught, packed_evidence, write_bundle
from challengers import CFG, ECE, TOP1
from registries import MLFLOW_WARNINGS

from ecclip import registry
from ecclip.formats.report import Comparison, Rescored, SharedLabels

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("workspace")]

IMAGE = "category/image"
SHARED = SharedLabels(gained=1, lost=0, levels={"1": 5, "2": 30}, left_out=2)
WORSE = Comparison(metric="top1", rows=400, ours=0.6, other=0.7, difference=-0.1, error=0.01, low=-0.12, high=-0.08)


def _version(folder: Path, night: int, leaves: list[str], top1: float) -> str:
    labels = [["home", leaf] for leaf in leaves]
    evidence = packed_evidence(labels, np.zeros((len(leaves), DIM), np.float32), np.arange(len(leaves))[None], 40)
    weight, bias = np.zeros((3, 2 * DIM, len(leaves)), np.float32), np.zeros((3, len(leaves)), np.float32)
    taught = Taught({"category": labels}, weight, bias, evidence)
    name, metrics = f"2026-11-{night:02d}", {TOP1: top1, ECE: 0.05}
    bundle = write_bundle(folder / name, name, metrics, night, taught=taught)
    return registry.register(bundle, name).version


def _asked(
    rows: dict[str, int], cells: dict[str, Comparison] | None = None, labels: dict[str, SharedLabels] | None = None
) -> Rescored:
    return Rescored(ours={TOP1: 0.6}, theirs={TOP1: 0.75}, cells=cells or {}, labels=labels or {}, rows=rows)


@pytest.fixture
def pair(tmp_path: Path) -> str:
    """A champion, and the version of a challenger with one label more."""
    registry.set_champion(_version(tmp_path, 1, ["mugs", "lamps"], 0.8), "test")
    return _version(tmp_path, 2, ["mugs", "lamps", "jars"], 0.7)


def test_claims_by_other_labels_are_nothing_to_compare_with_until_that_is_accepted(pair: str) -> None:
    verdict = registry.check_gate(CFG, pair)
    lacking = "its labels are not those of the champion, which cannot be asked about tonight's listings"
    assert verdict.reasons == (f"{TOP1}: {lacking}",)
    ((change, measured),) = verdict.if_meant.items()
    assert measured == [TOP1]
    assert verdict.way_out == f'if the other labels are meant: gate: {{accepted: {{"{change}": ["{TOP1}"]}}}}'
    assert registry.model_version(pair).tags["gate_reasons"] == f"{verdict.reasons[0]}; {verdict.way_out}"
    row = verdict.compared[1]
    assert (row["metric"], row["against"], row["accepted"]) == (TOP1, "the champion", "")
    assert (row["champion"], row["best_champion"], row["on_common_labels"]) == (0.8, None, None)

    accepted = registry.check_gate(CFG.model_copy(update={"accepted": verdict.if_meant}), pair)
    assert (accepted.passed, accepted.if_meant, accepted.way_out) == (True, {}, "")
    assert accepted.notes == (f"{TOP1} is not held against champions from before the labels changed ({change})",)
    row = accepted.compared[1]
    assert (row["reason"], row["against"], row["accepted"]) == ("", "", change)


def test_what_both_can_answer_is_compared_and_each_refusal_is_accepted_by_its_name(workspace: Path, pair: str) -> None:
    def judged(cfg: registry.GateConfig) -> registry.Verdict:
        asked = _asked({"category/both/test": 35}, {IMAGE: WORSE}, {"category": SHARED})
        return registry.check_gate(cfg, pair, score=lambda _, other: asked if other else _asked({}))

    verdict = judged(CFG)
    where = "on 35 test listings in classes that both know"
    assert verdict.reasons[0] == f"{TOP1}: 0.6000 against the champion's 0.7500 {where}: worse by more than 0.0200"
    assert verdict.reasons[1].startswith(f"{IMAGE}: 0.6000 (top1) against 0.7000 of the champion")
    row = verdict.compared[1]
    assert row["on_common_labels"] == {"challenger": 0.6, "champion": 0.75, "rows": 35}
    assert (row["challenger"], row["champion"], row["best_champion"]) == (0.7, 0.8, 0.75)
    assert verdict.labels == ({"against": "the champion", "head": "category", **asdict(SHARED)},)
    (note,) = verdict.notes
    assert note.startswith("category: 1 labels are new and 0 gone since the champion")
    ((change, measured),) = verdict.if_meant.items()
    assert measured == [TOP1, IMAGE]

    one = judged(CFG.model_copy(update={"accepted": {change: [TOP1]}}))
    assert [reason.split(":")[0] for reason in one.reasons] == [IMAGE]
    assert one.if_meant == {change: [IMAGE]}
    assert [row["accepted"] for row in one.cells] == [""]
    every = judged(CFG.model_copy(update={"accepted": {change: ["category/*"]}}))
    assert every.passed
    assert [(row["accepted"], row["reason"], row["against"]) for row in every.cells] == [(change, "", "the champion")]
    told = "{} is not held against champions from before the labels changed ({})"
    assert every.notes == (note, *(told.format(name, change) for name in (ECE, TOP1, IMAGE)))
    kept = json.loads((workspace / "work" / "nights" / "2026-11-02" / "verdict.json").read_text())
    assert (kept["notes"], kept["passed"]) == ([*every.notes], True)


def test_listings_that_nobody_counted_are_the_test_listings(pair: str) -> None:
    asked = _asked({}, labels={"category": SHARED})
    verdict = registry.check_gate(CFG, pair, score=lambda *_: asked)
    assert "on the test listings in classes that both know" in verdict.reasons[0]


def test_an_earlier_champion_refuses_by_its_own_change_and_the_frozen_start_by_none(tmp_path: Path) -> None:
    older = registry.set_champion(_version(tmp_path, 1, ["mugs", "lamps"], 0.9), "test")
    newer = registry.set_champion(_version(tmp_path, 2, ["mugs", "jars"], 0.7), "test")
    version = _version(tmp_path, 3, ["mugs", "jars"], 0.7)
    same = Rescored(ours={TOP1: 0.7}, theirs={TOP1: 0.7}, cells={})

    def judged(cfg: registry.GateConfig, answering: Rescored, frozen: dict[str, Comparison]) -> registry.Verdict:
        asked = {older.digest: _asked({}, {IMAGE: WORSE}), newer.digest: answering}
        frozen_start = Rescored(ours={}, theirs={}, cells=frozen)
        return registry.check_gate(cfg, version, score=lambda _, one: asked[one.name] if one else frozen_start)

    earlier = f"version {older.version}, an earlier champion"
    verdict = judged(CFG, same, {})
    assert [(row["metric"], row["against"]) for row in verdict.compared if row["reason"]] == [(TOP1, earlier)]
    assert [(row["cell"], row["against"]) for row in verdict.cells if row["reason"]] == [(IMAGE, earlier)]
    ((change, measured),) = verdict.if_meant.items()
    assert measured == [TOP1, IMAGE]
    accepting = CFG.model_copy(update={"accepted": verdict.if_meant})
    assert judged(accepting, same, {}).passed
    assert judged(accepting, same, {}).compared[1]["accepted"] == change

    worse = Rescored(ours={TOP1: 0.7}, theirs={TOP1: 0.7}, cells={IMAGE: WORSE})
    refused = judged(accepting, worse, {"category/text": WORSE})
    assert [(row["against"], bool(row["reason"]), row["accepted"]) for row in refused.cells] == [
        ("the champion", True, ""), (earlier, False, change), ("the frozen start", True, "")
    ]  # fmt: skip
    assert (refused.if_meant, refused.way_out) == ({}, ""), "what answers has the challenger's labels"
