"""The gate lets a challenger pass only for stated reasons, and says every reason against it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from bundles import write_bundle
from challengers import CFG, ECE, TOP1, register_champion, register_version
from pydantic import ValidationError
from registries import MLFLOW_WARNINGS, mlflow_client

from ecclip import registry
from ecclip.core import ContractError, GateError
from ecclip.registry import GateConfig, MetricGate
from ecclip.tasks.kinds import TASKS

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("workspace")]


def test_a_first_champion_needs_to_keep_the_floors(tmp_path: Path) -> None:
    assert registry.check_gate(CFG, register_version(tmp_path, "2026-11-01", top1=0.51, ece=0.05)).passed
    verdict = registry.check_gate(CFG, register_version(tmp_path, "2026-11-01", top1=0.49, ece=0.11))
    assert not verdict.passed
    assert [reason.split(":")[0] for reason in verdict.reasons] == [ECE, TOP1]


def test_a_first_champion_without_a_floor_in_the_configuration_is_refused(tmp_path: Path) -> None:
    verdict = registry.check_gate(
        GateConfig(metrics={TOP1: MetricGate(allowed_drop=0.1)}), register_version(tmp_path, "2026-11-01", top1=0.99)
    )
    assert not verdict.passed
    assert verdict.reasons == (f"{TOP1}: there is no champion to compare with and no floor is set",)


def test_a_challenger_may_be_worse_by_the_allowed_drop_and_not_by_more(tmp_path: Path) -> None:
    reigning = register_champion(tmp_path, top1=0.80, ece=0.05)
    near = registry.check_gate(CFG, register_version(tmp_path, "2026-11-02", top1=0.785, ece=0.05))
    assert (near.passed, near.champion) == (True, reigning)
    far = registry.check_gate(CFG, register_version(tmp_path, "2026-11-03", top1=0.779, ece=0.05))
    assert not far.passed
    assert "0.7790 against the champion's 0.8000" in far.reasons[0]


@pytest.mark.parametrize("top1", [None, float("nan"), float("inf")])
def test_a_metric_that_is_missing_or_no_number_is_refused(tmp_path: Path, top1: float | None) -> None:
    metrics = {"ece": 0.05} | ({} if top1 is None else {"top1": top1})
    verdict = registry.check_gate(CFG, register_version(tmp_path, "2026-11-01", **metrics))
    assert not verdict.passed
    assert verdict.reasons[0].startswith(TOP1)


def test_a_champion_without_the_metric_is_nothing_to_compare_with(tmp_path: Path) -> None:
    register_champion(tmp_path, ece=0.05)
    verdict = registry.check_gate(CFG, register_version(tmp_path, "2026-11-02", top1=0.9, ece=0.05))
    assert not verdict.passed
    assert "champion has no such metric" in verdict.reasons[0]


def test_a_gate_that_names_no_metric_lets_nothing_pass(tmp_path: Path) -> None:
    verdict = registry.check_gate(GateConfig(metrics={}), register_version(tmp_path, "2026-11-01", top1=0.9, ece=0.01))
    assert (verdict.passed, verdict.compared) == (False, ())
    assert verdict.reasons == ("the gate names no metric: params.yaml, section gate",)


def test_what_the_tasks_ask_is_asked_by_default() -> None:
    metrics = GateConfig().metrics
    assert metrics["category/both/top1"] == MetricGate(floor=0.3, allowed_drop=0.03)
    asked = {name for task in TASKS if task.gate for name in (task.name, task.more_heads) if name}
    assert {name.split("/")[0] for name in metrics} == asked


def test_a_value_at_a_limit_passes_and_one_beyond_it_is_refused_with_both_numbers(tmp_path: Path) -> None:
    reigning = register_champion(tmp_path, top1=0.75, ece=0.25)
    version = register_version(tmp_path, "2026-11-02", top1=0.5, ece=0.5)
    error = {"higher_is_better": False}
    for name, limits, reason in (
        (TOP1, {"floor": 0.5}, ""),
        (TOP1, {"floor": 0.5001}, "0.5000 is beyond the floor 0.5001"),
        (TOP1, {"floor": 0.5, "allowed_drop": 0.25}, ""),
        (TOP1, {"allowed_drop": 0.2499}, "0.5000 against the champion's 0.7500: worse by more than 0.2499"),
        (TOP1, {"floor": 0.0, "allowed_drop": 0.0}, "0.5000 against the champion's 0.7500: worse by more than 0.0000"),
        (ECE, {"floor": 0.5, **error}, ""),
        (ECE, {"floor": 0.4999, **error}, "0.5000 is beyond the ceiling 0.4999"),
        (ECE, {"allowed_drop": 0.25, **error}, ""),
        (ECE, {"allowed_drop": 0.2499, **error}, "0.5000 against the champion's 0.2500: worse by more than 0.2499"),
        (ECE, {"allowed_drop": 0.0}, ""),
    ):
        verdict = registry.check_gate(GateConfig(metrics={name: MetricGate.model_validate(limits)}), version)
        assert verdict.reasons == ((f"{name}: {reason}",) if reason else ())
        assert (verdict.version, verdict.passed, verdict.champion) == (version, not reason, reigning)


def test_what_cannot_be_compared_is_told_apart_and_shown_as_nothing(tmp_path: Path) -> None:
    register_champion(tmp_path, ece=float("nan"))
    limits = MetricGate(allowed_drop=0.1)
    metrics = dict.fromkeys((ECE, TOP1, "category/both/no", "category/both/bad"), limits)
    version = register_version(tmp_path, "2026-11-02", ece=0.1, top1=0.9, bad=float("nan"))
    verdict = registry.check_gate(GateConfig(metrics=metrics), version)
    lacking = "the champion has no such metric to compare with"
    reasons = {
        "category/both/bad": "the challenger's value is not a number",
        ECE: lacking,
        "category/both/no": "the challenger has no such metric",
        TOP1: lacking,
    }
    assert verdict.reasons == tuple(f"{name}: {reason}" for name, reason in sorted(reasons.items()))
    rows = {str(row["metric"]): (row["challenger"], row["champion"], row["reason"]) for row in verdict.compared}
    values = {"category/both/bad": None, ECE: 0.1, "category/both/no": None, TOP1: 0.9}
    assert rows == {name: (values[name], None, reason) for name, reason in reasons.items()}


def test_the_parts_of_the_challenger_are_proven_and_what_they_belie_is_the_reason(
    workspace: Path, tmp_path: Path
) -> None:
    def belie(bundle: Path) -> None:
        raise ContractError("the heads do not do this", value=0.8, next_step="export again")

    seen: list[Path] = []
    first = register_version(tmp_path, "2026-11-01", top1=0.8, ece=0.05)
    assert registry.check_gate(CFG, first, belie).champion is None
    assert registry.check_gate(CFG, first, seen.append).passed
    assert seen == [workspace / "work" / "bundles" / registry.model_version(first).digest]
    registry.set_champion(first, "test")
    second = register_version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    verdict = registry.check_gate(CFG, second, belie)
    reason = "the heads do not do this; value: 0.8; next: export again"
    assert verdict == registry.Verdict(
        version=second,
        passed=False,
        reasons=(reason,),
        champion=first,
        champion_digest=registry.model_version(first).digest,
    )
    assert registry.model_version(second).tags["gate_reasons"] == reason


def test_a_version_that_the_registry_does_not_have_is_refused_for_that(tmp_path: Path) -> None:
    register_champion(tmp_path, top1=0.8, ece=0.05)
    verdict = registry.check_gate(CFG, "77")
    reason = "the registry has no such version; value: 77; next: ecclip registry rebuild, if it was there before"
    assert verdict == registry.Verdict(version="77", passed=False, reasons=(reason,), champion=None)


def test_a_champion_is_not_judged_again(tmp_path: Path) -> None:
    first = register_champion(tmp_path, top1=0.8, ece=0.05)
    second = register_version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    registry.set_champion(second, "better")
    stricter = GateConfig(metrics={TOP1: MetricGate(floor=0.99)})
    assert registry.check_gate(stricter, second) == registry.Verdict(
        version=second, passed=True, reasons=(), champion=first
    )
    assert "gate" not in registry.model_version(second).tags


def test_a_gated_metric_without_any_limit_is_a_wrong_configuration() -> None:
    with pytest.raises(ValidationError, match="allowed_drop"):
        GateConfig(metrics={TOP1: MetricGate()})


def test_the_verdict_is_kept_on_the_version_and_beside_the_night(workspace: Path, tmp_path: Path) -> None:
    def told(version: str) -> tuple[str, str, str]:
        tags = registry.model_version(version).tags
        return tags["gate"], tags["gate_reasons"], tags["gate_champion"]

    first = register_version(tmp_path, "2026-11-01", top1=0.8, ece=0.05)
    registry.check_gate(CFG, first)
    assert told(first) == ("passed", "none", "none")
    registry.set_champion(first, "test")
    version = register_version(tmp_path, "2026-11-02", top1=0.4, ece=0.2)
    registry.check_gate(CFG, version)
    reasons = [f"{ECE}: 0.2000 is beyond the ceiling 0.1000", f"{TOP1}: 0.4000 is beyond the floor 0.5000"]
    assert told(version) == ("refused", "; ".join(reasons), first)
    assert json.loads((workspace / "work" / "nights" / "2026-11-02" / "verdict.json").read_text()) == {
        "version": version,
        "bundle_digest": registry.model_version(version).digest,
        "passed": False,
        "reasons": reasons,
        "champion": first,
        "champion_digest": registry.model_version(first).digest,
        "compared": [
            {
                "metric": name, "challenger": value, "champion": before, "best_champion": before, "floor": floor,
                "allowed_drop": drop, "rows": None, "decides": True, "on_common_labels": None, "accepted": "",
                "against": "", "reason": reason.removeprefix(f"{name}: "),
            }
            for (name, value, before, floor, drop), reason in zip(
                [(ECE, 0.2, 0.05, 0.1, None), (TOP1, 0.4, 0.8, 0.5, 0.02)], reasons, strict=True
            )
        ],
        "cells": [],
        "labels": [],
        "cells_outcome": {},
        "notes": [],
        "if_meant": {},
    }  # fmt: skip


def test_how_the_cells_end_beside_the_frozen_start_stands_in_verdict_and_description(tmp_path: Path) -> None:
    cells = {"cells_ahead": 4, "cells_behind": 1, "cells_fallback": 3, "cells_total": 12}
    bundle = write_bundle(tmp_path / "bundle", metrics={TOP1: 0.8, ECE: 0.05}, cells=cells)
    version = registry.register(bundle, "2026-11-01").version
    assert registry.check_gate(CFG, version).cells_outcome == cells
    description = mlflow_client().get_model_version("ecclip", version).description
    assert "of 12 cells: **4 ahead, 1 behind**; 3 served by towers that the training began with" in description


def test_reasons_longer_than_a_tag_are_cut(tmp_path: Path) -> None:
    cfg = GateConfig(metrics={f"category/both/no{number:03d}": MetricGate(floor=1.0) for number in range(100)})
    version = register_version(tmp_path, "2026-11-01", top1=0.8, ece=0.05)
    whole = "; ".join(registry.check_gate(cfg, version).reasons)
    assert registry.model_version(version).tags["gate_reasons"] == whole[:4000]
    assert len(whole) > 4000


def test_a_version_that_was_rolled_back_does_not_come_back_by_itself(tmp_path: Path) -> None:
    old = register_champion(tmp_path, top1=0.8, ece=0.05)
    bad = register_version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    registry.set_champion(bad, "test")
    registry.set_champion(old, "answers were wrong")
    reason = "it was rolled back (answers were wrong): remove the tag rolled_back to allow it again"
    assert registry.check_gate(CFG, bad) == registry.Verdict(version=bad, passed=False, reasons=(reason,), champion=old)


def test_promotion_moves_the_alias_tags_both_and_writes_one_audit_line(workspace: Path, tmp_path: Path) -> None:
    old = register_champion(tmp_path, top1=0.8, ece=0.05)
    new = register_version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    for _ in range(2):
        registry.set_champion(new, "better", against=registry.model_version(old).digest)
    reigning = registry.champion()
    assert reigning is not None
    assert (reigning.version, reigning.tags["previous_champion"]) == (new, old)
    assert registry.model_version(old).tags["replaced_by"] == new
    assert registry.model_version(new).aliases == ("champion",)
    lines = [json.loads(line) for line in (workspace / "work/mlflow/audit.jsonl").read_text().splitlines()]
    assert [(line["version"], line["previous"], line["reason"]) for line in lines] == [
        (old, None, "test"),
        (new, old, "better"),
    ]


def test_a_verdict_against_a_champion_that_no_longer_reigns_promotes_nothing(tmp_path: Path) -> None:
    reigning = register_champion(tmp_path, top1=0.8, ece=0.05)
    new = register_version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    with pytest.raises(GateError, match="run the gate again"):
        registry.set_champion(new, "better", against=None)
    assert registry.champion() == registry.model_version(reigning)


def test_an_audit_line_lost_with_its_process_is_written_by_the_next_call(workspace: Path, tmp_path: Path) -> None:
    version = register_champion(tmp_path, top1=0.8, ece=0.05)
    audit = workspace / "work" / "mlflow" / "audit.jsonl"
    whole = json.loads(audit.read_text())
    audit.write_text(audit.read_text()[:20])
    registry.set_champion(version, "test")
    assert json.loads(audit.read_text().splitlines()[-1])["version"] == whole["version"]


def test_an_error_measure_may_not_rise_by_more_than_the_allowed_drop_and_may_fall(tmp_path: Path) -> None:
    cfg = GateConfig(metrics={ECE: MetricGate(allowed_drop=0.02, higher_is_better=False)})
    register_champion(tmp_path, top1=0.8, ece=0.05)
    for night, (ece, passes) in enumerate([(0.06, True), (0.001, True), (0.08, False)], start=2):
        verdict = registry.check_gate(cfg, register_version(tmp_path, f"2026-11-{night:02d}", top1=0.8, ece=ece))
        assert verdict.passed is passes
    assert "0.0800 against the champion's 0.0500" in verdict.reasons[0]


def test_drops_that_are_each_allowed_do_not_add_up_over_five_nights(tmp_path: Path) -> None:
    """Each night loses 0.015 of the allowed 0.02 against what answers; the second loss is one too many."""
    answers = [register_champion(tmp_path, top1=0.80, ece=0.05)]
    verdicts = []
    for night in range(2, 7):
        top1 = 0.80 - 0.015 * len(answers)
        version = register_version(tmp_path, f"2026-11-{night:02d}", top1=top1, ece=0.05)
        verdicts.append(registry.check_gate(CFG, version))
        if verdicts[-1].passed:
            answers.append(registry.set_champion(version, "test").version)
    assert [verdict.passed for verdict in verdicts] == [True, False, False, False, False]
    reason = f"0.7700 against 0.8000 of version {answers[0]}, an earlier champion: worse by more than 0.0200"
    assert verdicts[-1].reasons == (f"{TOP1}: {reason}",)
    assert verdicts[-1].champion == answers[1]
    rows = {row["metric"]: (row["champion"], row["best_champion"]) for row in verdicts[-1].compared}
    assert rows[TOP1] == (0.785, 0.8)


def test_a_champion_that_was_rolled_back_is_no_measure(tmp_path: Path) -> None:
    old = register_champion(tmp_path, top1=0.70, ece=0.05)
    registry.set_champion(register_version(tmp_path, "2026-11-02", top1=0.95, ece=0.05), "test")
    registry.set_champion(old, "its answers were wrong")
    assert registry.check_gate(CFG, register_version(tmp_path, "2026-11-03", top1=0.70, ece=0.05)).passed


def test_a_champion_whose_bundle_is_gone_is_left_out_unless_it_answers(workspace: Path, tmp_path: Path) -> None:
    old = register_champion(tmp_path, top1=0.90, ece=0.05)
    new = registry.set_champion(register_version(tmp_path, "2026-11-02", top1=0.80, ece=0.05), "test")
    third = register_version(tmp_path, "2026-11-03", top1=0.80, ece=0.05)
    assert not registry.check_gate(CFG, third).passed
    shutil.rmtree(workspace / "work" / "bundles" / registry.model_version(old).digest)
    assert registry.check_gate(CFG, third).passed
    shutil.rmtree(workspace / "work" / "bundles" / new.digest)
    assert "in the bundle store is missing" in registry.check_gate(CFG, third).reasons[0]


def test_a_metric_on_few_listings_decides_nothing_and_without_any_other_nothing_passes(tmp_path: Path) -> None:
    few, enough = {"category/both/test": 19}, {"category/both/test": 20}
    verdict = registry.check_gate(CFG, register_version(tmp_path, "2026-11-01", few, top1=0.1, ece=0.9))
    assert not verdict.passed
    assert [(row["decides"], row["against"], row["reason"]) for row in verdict.compared] == [(False, "", "")] * 2
    assert verdict.reasons[0].startswith("no gated metric rests on gate.min_rows = 20 test listings")
    assert TOP1 in verdict.reasons[0]
    assert (
        len(registry.check_gate(CFG, register_version(tmp_path, "2026-11-02", enough, top1=0.1, ece=0.9)).reasons) == 2
    )


def test_recall_of_a_flag_rests_on_those_that_carry_it_and_has_a_floor_of_its_own(tmp_path: Path) -> None:
    recall = "age_restricted/both/recall"
    assert GateConfig().metrics[recall].floor == 0.5
    cfg = GateConfig(metrics={TOP1: MetricGate(floor=0.5), recall: MetricGate(floor=0.5)})
    for number, (flagged, passes) in enumerate([(19, True), (20, False)], start=1):
        rows = {"age_restricted/both/test": 900, "age_restricted/both/test_positives": flagged}
        night = f"2026-11-{number:02d}"
        bundle = write_bundle(tmp_path / night, night, {TOP1: 0.8, recall: 0.3}, number, rows)
        assert registry.check_gate(cfg, registry.register(bundle, night).version).passed is passes


def test_a_pattern_asks_every_class_that_there_is_or_was_and_a_name_of_its_own_comes_first(tmp_path: Path) -> None:
    alcohol, knives = ("age:alcohol/both/recall", "age:knives/both/recall")
    assert GateConfig().metrics["age:*/both/recall"].floor == 0.5
    limits = {TOP1: MetricGate(floor=0.5), "age:*/both/recall": MetricGate(floor=0.6), knives: MetricGate(floor=0.2)}
    cfg = GateConfig(metrics=limits)

    def verdict(night: str, number: int, **recalls: float) -> registry.Verdict:
        metrics = {TOP1: 0.8} | {f"age:{name}/both/recall": value for name, value in recalls.items()}
        bundle = write_bundle(tmp_path / night, night, metrics, number)
        return registry.check_gate(cfg, registry.register(bundle, night).version)

    assert verdict("2026-11-01", 1, knives=0.3).passed  # of alcohol there is nothing yet
    refused = verdict("2026-11-02", 2, knives=0.3, alcohol=0.5)
    assert refused.reasons == (f"{alcohol}: 0.5000 is beyond the floor 0.6000",)


def test_a_task_that_nobody_labels_decides_nothing_until_a_champion_had_it(tmp_path: Path) -> None:
    ece = GateConfig(metrics={TOP1: MetricGate(floor=0.5), ECE: MetricGate(floor=0.1, higher_is_better=False)})
    nothing = {"category/both/test": 0}
    cfg = GateConfig(metrics={"brand/both/accuracy": MetricGate(floor=0.5), **ece.metrics})
    rows = {"brand/both/test": 0}
    assert registry.check_gate(cfg, register_version(tmp_path, "2026-11-01", rows, top1=0.8, ece=0.05)).passed
    register_champion(tmp_path, top1=0.8, ece=0.05)
    verdict = registry.check_gate(ece, register_version(tmp_path, "2026-11-02", nothing))
    assert verdict.reasons == (
        f"{ECE}: the challenger has no such metric",
        f"{TOP1}: the challenger has no such metric",
    )


def test_a_promise_of_auto_that_the_test_listings_refute_is_a_reason_by_name(tmp_path: Path) -> None:
    kept = {"top1": 0.8, "ece": 0.05, "auto_promise": 0.95}
    assert registry.check_gate(CFG, register_version(tmp_path, "2026-11-01", **kept)).passed, "nothing was auto"
    at_the_limit = register_version(tmp_path, "2026-11-02", **kept, auto_precision_at_most=0.95)
    assert registry.check_gate(CFG, at_the_limit).passed
    below = registry.check_gate(CFG, register_version(tmp_path, "2026-11-03", **kept, auto_precision_at_most=0.9499))
    assert below.reasons == ("category/both/auto_precision_at_most: 0.9499, less than the 0.9500 that `auto` promises",)
    del kept["auto_promise"]
    unsaid = registry.check_gate(CFG, register_version(tmp_path, "2026-11-04", **kept, auto_precision_at_most=1.0))
    assert unsaid.reasons == ("category/both/auto_precision_at_most: the bundle does not say what `auto` promises",)
