"""The gate between challenger and champion: named metrics, floors, allowed drops. It fails closed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ecclip.core import ContractError, EcclipError, StageConfig, canonical_json, settings, write_atomic
from ecclip.registry.bundles import kept_metrics, stored_bundle
from ecclip.registry.reigning import reigning
from ecclip.registry.versions import ModelRef, model_version, tag_version


class MetricGate(StageConfig):
    """Limits for one metric of the report."""

    floor: float | None = Field(default=None, description="worst value allowed at all; the first champion needs one")
    allowed_drop: float | None = Field(default=None, ge=0, description="how much worse than the champion it may be")
    higher_is_better: bool = Field(
        default=True, description="false for errors such as ECE: the floor is then a ceiling"
    )

    @model_validator(mode="after")
    def _asks_something(self) -> MetricGate:
        if self.floor is None and self.allowed_drop is None:
            raise ValueError("a gated metric needs a floor, an allowed_drop, or both")
        return self


def default_metrics() -> dict[str, MetricGate]:
    """Return what every task of ``ecclip.tasks.kinds.TASKS`` asks of the gate."""
    from ecclip.tasks.kinds import gate_defaults  # the registry starts without scikit-learn

    return {name: MetricGate(**asdict(limit)) for name, limit in gate_defaults().items()}


class GateConfig(StageConfig):
    """Which metrics decide whether a challenger may become champion."""

    metrics: dict[str, MetricGate] = Field(
        default_factory=default_metrics,
        description="metric of the report -> its limits; default: what the tasks ask (`gate` in ecclip/tasks/kinds)",
    )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Passed or not, every reason against it, and the champion that it was compared with (None: nothing answered)."""

    version: str
    passed: bool
    reasons: tuple[str, ...]
    champion: str | None
    compared: tuple[dict[str, Any], ...] = ()


def check_gate(cfg: GateConfig, version: str, prove: Callable[[Path], object] | None = None) -> Verdict:
    """Compare a version with what answers; keep the verdict as tags and in ``work/nights/<night>/verdict.json``.

    The metrics are those inside the bundles of the store, proven by digest, never those of the registry or of a report
    outside the bundle. ``prove`` receives the challenger's bundle and raises if the bundle claims what its parts do not
    do.

    Fails closed: parts that do not belong together, no gated metric, a metric that is missing or not a number, no floor
    for a first champion, or a registry that does not answer give a verdict that is not passed, with the reason.
    """
    try:
        challenger = model_version(version)
        verdict = _earlier_verdict(challenger)
        if verdict is None:
            answers = reigning()
            # one that a person made the first champion by hand is not compared with itself
            against = None if answers is not None and answers.version == challenger.version else answers
            verdict = _verdict(cfg, challenger, against, prove)
            _keep(verdict, challenger)
    except EcclipError as error:
        return Verdict(version=str(version), passed=False, reasons=(str(error),), champion=None)
    return verdict


def _earlier_verdict(challenger: ModelRef) -> Verdict | None:
    """Return the verdict on a version that has been champion: rerunning a night does not gate it again."""
    previous = challenger.tags.get("previous_champion")
    if "rolled_back" in challenger.tags:
        reason = f"it was rolled back ({challenger.tags['rolled_back']}): remove the tag rolled_back to allow it again"
        return Verdict(version=challenger.version, passed=False, reasons=(reason,), champion=previous)
    if "champion_reason" in challenger.tags:
        return Verdict(version=challenger.version, passed=True, reasons=(), champion=previous)
    return None


def _verdict(
    cfg: GateConfig, challenger: ModelRef, answers: ModelRef | None, prove: Callable[[Path], object] | None
) -> Verdict:
    """Return the verdict; a bundle whose claims cannot be verified is refused for that reason, and the refusal is
    recorded."""
    try:
        new = kept_metrics(challenger, proven=True)
        if prove is not None:
            prove(stored_bundle(challenger))
    except ContractError as error:
        against = None if answers is None else answers.version
        return Verdict(version=challenger.version, passed=False, reasons=(str(error),), champion=against)
    return _compare(cfg, challenger, new, answers)


def _compare(cfg: GateConfig, challenger: ModelRef, new: dict[str, float], answers: ModelRef | None) -> Verdict:
    old = None if answers is None else kept_metrics(answers, proven=False)
    compared = tuple(_row(name, gate, new, old) for name, gate in sorted(cfg.metrics.items()))
    reasons = [f"{row['metric']}: {row['reason']}" for row in compared if row["reason"]]
    if not compared:
        reasons = ["the gate names no metric: params.yaml, section gate"]
    return Verdict(
        version=challenger.version,
        passed=not reasons,
        reasons=tuple(reasons),
        champion=None if answers is None else answers.version,
        compared=compared,
    )


def _row(name: str, gate: MetricGate, new: dict[str, float], old: dict[str, float] | None) -> dict[str, Any]:
    value = new.get(name)
    before = None if old is None else old.get(name)
    reason = _reason(gate, value, before, first=old is None)
    return {
        "metric": name,
        "challenger": _finite(value),
        "champion": _finite(before),
        "floor": gate.floor,
        "allowed_drop": gate.allowed_drop,
        "reason": reason,
    }


def _reason(gate: MetricGate, value: float | None, before: float | None, *, first: bool) -> str:
    """Return why a metric refuses the challenger, or an empty string."""
    sign = 1.0 if gate.higher_is_better else -1.0
    if _finite(value) is None or value is None:
        return "the challenger has no such metric" if value is None else "the challenger's value is not a number"
    if gate.floor is not None and sign * (value - gate.floor) < 0:
        return f"{value:.4f} is beyond the {'floor' if sign > 0 else 'ceiling'} {gate.floor:.4f}"
    if first:
        return "" if gate.floor is not None else "there is no champion to compare with and no floor is set"
    if gate.allowed_drop is None:
        return ""
    if _finite(before) is None or before is None:
        return "the champion has no such metric to compare with"
    if sign * (value - before) < -gate.allowed_drop:
        return f"{value:.4f} against the champion's {before:.4f}: worse by more than {gate.allowed_drop:.4f}"
    return ""


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _keep(verdict: Verdict, challenger: ModelRef) -> None:
    folder = settings().work / "nights" / challenger.night
    write_atomic(folder / "verdict.json", canonical_json({**asdict(verdict), "bundle_digest": challenger.digest}))
    tags = {
        "gate": "passed" if verdict.passed else "refused",
        "gate_reasons": "; ".join(verdict.reasons)[:4000] or "none",
        "gate_champion": verdict.champion or "none",
    }
    tag_version(challenger.version, tags)
