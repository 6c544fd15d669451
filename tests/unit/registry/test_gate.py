"""The gate lets a challenger pass only for stated reasons, and says every reason against it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import write_bundle
from pydantic import ValidationError
from registries import MLFLOW_WARNINGS

from ecclip import registry
from ecclip.core import GateError
from ecclip.registry import GateConfig, MetricGate

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("workspace")]

TOP1, ECE = "category/both/top1", "category/both/ece"
CFG = GateConfig(
    metrics={TOP1: MetricGate(floor=0.5, allowed_drop=0.02), ECE: MetricGate(floor=0.1, higher_is_better=False)}
)


def _version(folder: Path, night: str, **metrics: float) -> str:
    named = {f"category/both/{name}": value for name, value in metrics.items()}
    bundle = write_bundle(folder / f"{night}-{len(list(folder.iterdir()))}", night, named, seed=sum(map(ord, night)))
    return registry.register(bundle, night).version


def _champion(folder: Path, **metrics: float) -> str:
    version = _version(folder, "2026-11-01", **metrics)
    return registry.set_champion(version, "test").version


def test_a_first_champion_needs_to_keep_the_floors(tmp_path: Path) -> None:
    assert registry.check_gate(CFG, _version(tmp_path, "2026-11-01", top1=0.51, ece=0.05)).passed
    verdict = registry.check_gate(CFG, _version(tmp_path, "2026-11-01", top1=0.49, ece=0.11))
    assert not verdict.passed
    assert [reason.split(":")[0] for reason in verdict.reasons] == [ECE, TOP1]


def test_a_first_champion_without_a_floor_in_the_configuration_is_refused(tmp_path: Path) -> None:
    verdict = registry.check_gate(
        GateConfig(metrics={TOP1: MetricGate(allowed_drop=0.1)}), _version(tmp_path, "2026-11-01", top1=0.99)
    )
    assert not verdict.passed
    assert "no floor" in verdict.reasons[0]


def test_a_challenger_may_be_worse_by_the_allowed_drop_and_not_by_more(tmp_path: Path) -> None:
    reigning = _champion(tmp_path, top1=0.80, ece=0.05)
    near = registry.check_gate(CFG, _version(tmp_path, "2026-11-02", top1=0.785, ece=0.05))
    assert (near.passed, near.champion) == (True, reigning)
    far = registry.check_gate(CFG, _version(tmp_path, "2026-11-03", top1=0.779, ece=0.05))
    assert not far.passed
    assert "0.7790 against the champion's 0.8000" in far.reasons[0]


@pytest.mark.parametrize("top1", [None, float("nan"), float("inf")])
def test_a_metric_that_is_missing_or_no_number_is_refused(tmp_path: Path, top1: float | None) -> None:
    metrics = {"ece": 0.05} | ({} if top1 is None else {"top1": top1})
    verdict = registry.check_gate(CFG, _version(tmp_path, "2026-11-01", **metrics))
    assert not verdict.passed
    assert verdict.reasons[0].startswith(TOP1)


def test_a_champion_without_the_metric_is_nothing_to_compare_with(tmp_path: Path) -> None:
    _champion(tmp_path, ece=0.05)
    verdict = registry.check_gate(CFG, _version(tmp_path, "2026-11-02", top1=0.9, ece=0.05))
    assert not verdict.passed
    assert "champion has no such metric" in verdict.reasons[0]


def test_a_gate_that_names_no_metric_lets_nothing_pass(tmp_path: Path) -> None:
    assert not registry.check_gate(GateConfig(metrics={}), _version(tmp_path, "2026-11-01", top1=0.9, ece=0.01)).passed


def test_a_gated_metric_without_any_limit_is_a_wrong_configuration() -> None:
    with pytest.raises(ValidationError, match="allowed_drop"):
        GateConfig(metrics={TOP1: MetricGate()})


def test_the_verdict_is_kept_on_the_version_and_beside_the_night(workspace: Path, tmp_path: Path) -> None:
    version = _version(tmp_path, "2026-11-01", top1=0.4, ece=0.05)
    registry.check_gate(CFG, version)
    tags = registry.model_version(version).tags
    assert (tags["gate"], tags["gate_champion"]) == ("refused", "none")
    kept = json.loads((workspace / "work" / "nights" / "2026-11-01" / "verdict.json").read_text())
    assert kept["passed"] is False
    assert kept["compared"][1]["challenger"] == 0.4


def test_a_version_that_was_rolled_back_does_not_come_back_by_itself(tmp_path: Path) -> None:
    old = _champion(tmp_path, top1=0.8, ece=0.05)
    bad = _version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    registry.set_champion(bad, "test")
    registry.set_champion(old, "answers were wrong")
    verdict = registry.check_gate(CFG, bad)
    assert not verdict.passed
    assert "answers were wrong" in verdict.reasons[0]


def test_promotion_moves_the_alias_tags_both_and_writes_one_audit_line(workspace: Path, tmp_path: Path) -> None:
    old = _champion(tmp_path, top1=0.8, ece=0.05)
    new = _version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    for _ in range(2):
        registry.set_champion(new, "better", against=old)
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
    reigning = _champion(tmp_path, top1=0.8, ece=0.05)
    new = _version(tmp_path, "2026-11-02", top1=0.9, ece=0.05)
    with pytest.raises(GateError, match="run the gate again"):
        registry.set_champion(new, "better", against=None)
    assert registry.champion() == registry.model_version(reigning)


def test_an_audit_line_lost_with_its_process_is_written_by_the_next_call(workspace: Path, tmp_path: Path) -> None:
    version = _champion(tmp_path, top1=0.8, ece=0.05)
    audit = workspace / "work" / "mlflow" / "audit.jsonl"
    whole = json.loads(audit.read_text())
    audit.write_text(audit.read_text()[:20])
    registry.set_champion(version, "test")
    assert json.loads(audit.read_text().splitlines()[-1])["version"] == whole["version"]


def test_an_error_measure_may_not_rise_by_more_than_the_allowed_drop_and_may_fall(tmp_path: Path) -> None:
    cfg = GateConfig(metrics={ECE: MetricGate(allowed_drop=0.02, higher_is_better=False)})
    _champion(tmp_path, top1=0.8, ece=0.05)
    for night, (ece, passes) in enumerate([(0.06, True), (0.001, True), (0.08, False)], start=2):
        verdict = registry.check_gate(cfg, _version(tmp_path, f"2026-11-{night:02d}", top1=0.8, ece=ece))
        assert verdict.passed is passes
    assert "0.0800 against the champion's 0.0500" in verdict.reasons[0]
