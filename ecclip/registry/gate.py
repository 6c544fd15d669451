"""The gate between challenger and champion: named metrics, floors, allowed drops. It fails closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ecclip.core import ContractError, EcclipError, StageConfig, canonical_json, settings, write_atomic
from ecclip.formats.bundle import Bundle
from ecclip.registry.bundles import kept_metrics, stored_bundle
from ecclip.registry.comparing import (
    Rival,
    Score,
    cell_rows,
    champion_rivals,
    finite,
    frozen_rival,
    largest_drop,
    rows_of,
)
from ecclip.registry.promises import promises_refuted
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
    """What decides whether a challenger may become champion; limits by judgment."""

    metrics: dict[str, MetricGate] = Field(
        default_factory=default_metrics,
        description="metric of the report -> its limits; default: what the tasks ask (`gate` in ecclip/tasks/kinds)",
    )
    min_rows: int = Field(
        20,
        ge=1,
        description="test listings, of a flag those that carry it, below which a metric, a task from a modality or a "
        "part of the catalog decides nothing; if nothing decides, the challenger is refused",
    )
    champions: int = Field(
        3,
        ge=1,
        description="last champions, with what answers, that a challenger is held against: it may not fall below the "
        "best of them, so that small drops do not add up",
    )
    cell_drop: float = Field(
        0.02,
        ge=0,
        description="how much worse than each of them any task from any modality, and any part of the catalog, may be; "
        "refused where the paired difference is proven to be larger",
    )
    frozen_drop: float = Field(
        0.0, ge=0, description="the same beside the frozen start: by default nothing may be proven worse than untrained"
    )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Passed or not, every reason against it, and the champion that it was compared with (None: nothing answered).

    ``compared`` has a row per metric of the configuration, ``cells`` one per task, modality and part of the catalog and
    rival, ``notes`` what could not be compared as it should.
    """

    version: str
    passed: bool
    reasons: tuple[str, ...]
    champion: str | None
    compared: tuple[dict[str, Any], ...] = ()
    cells: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


def check_gate(
    cfg: GateConfig, version: str, prove: Callable[[Path], object] | None = None, score: Score | None = None
) -> Verdict:
    """Compare a version with what answers, the champions before and the frozen start, and keep the verdict.

    It is kept as tags and in ``work/nights/<night>/verdict.json``.

    The metrics are those inside the bundles of the store, proven by digest, never those of the registry or of a report
    outside the bundle. ``prove`` receives the challenger's bundle and raises if the bundle claims what its parts do not
    do. ``score`` receives it with the bundle of a champion, or with None for the frozen start, and returns what both
    answer to the test listings of the challenger's night; without it, or where it cannot, claims are compared.

    Fails closed: parts that do not belong together, no gated metric, none that rests on enough listings, one that is
    missing or not a number, no floor for a first champion, a precision of `auto` answers that the test listings refute,
    or a registry that does not answer give a verdict that is not passed, with the reason.
    """
    try:
        challenger = model_version(version)
        verdict = _earlier_verdict(challenger)
        if verdict is None:
            answers = reigning()
            # one that a person made the first champion by hand is not compared with itself
            against = None if answers is not None and answers.version == challenger.version else answers
            verdict = _verdict(cfg, challenger, against, prove, score)
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
    cfg: GateConfig,
    challenger: ModelRef,
    answers: ModelRef | None,
    prove: Callable[[Path], object] | None,
    score: Score | None,
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
    return _compare(cfg, challenger, new, answers, score)


def _compare(
    cfg: GateConfig, challenger: ModelRef, new: dict[str, float], answers: ModelRef | None, score: Score | None
) -> Verdict:
    rows = Bundle(stored_bundle(challenger)).report().rows
    champions = champion_rivals(challenger, new, answers, cfg.champions, score)
    frozen = frozen_rival(challenger, score)
    asked = [(rival, cfg.cell_drop) for rival in champions] + ([(frozen, cfg.frozen_drop)] if frozen else [])
    compared = tuple(
        _row(name, gate, new, rows_of(name, rows), champions, cfg.min_rows)
        for name, gate in sorted(cfg.metrics.items())
    )
    cells = tuple(cell_rows(asked, cfg.min_rows))
    reasons = [f"{row['metric']}: {row['reason']}" for row in compared if row["reason"]]
    reasons += [f"{row['cell']}: {row['reason']}" for row in cells if row["reason"]]
    reasons += promises_refuted(new)
    return Verdict(
        version=challenger.version,
        passed=not reasons and any(row["decides"] for row in compared),
        reasons=tuple(reasons or _undecided(cfg, compared)),
        champion=None if answers is None else answers.version,
        compared=compared,
        cells=cells,
        notes=tuple(rival.note for rival in champions if rival.note),
    )


def _undecided(cfg: GateConfig, compared: tuple[dict[str, Any], ...]) -> list[str]:
    """Return why nothing lets a challenger pass against which nothing speaks; nothing where a metric decides."""
    if not compared:
        return ["the gate names no metric: params.yaml, section gate"]
    if any(row["decides"] for row in compared):
        return []
    few = ", ".join(f"{row['metric']} {row['rows']}" for row in compared)
    return [f"no gated metric rests on gate.min_rows = {cfg.min_rows} test listings ({few}): lower it in params.yaml"]


def _row(
    name: str, gate: MetricGate, new: dict[str, float], rows: int | None, champions: list[Rival], min_rows: int
) -> dict[str, Any]:
    value = new.get(name)
    before = champions[0].metrics.get(name) if champions else None
    is_known = finite(value) is not None or finite(before) is not None
    decides = rows is None or (rows >= min_rows and is_known) or (finite(value) is None and finite(before) is not None)
    worst = largest_drop(name, 1.0 if gate.higher_is_better else -1.0, champions)
    return {
        "metric": name,
        "challenger": finite(value),
        "champion": finite(before),
        "best_champion": None if worst is None else worst[0].metrics[name],
        "floor": gate.floor,
        "allowed_drop": gate.allowed_drop,
        "rows": rows,
        "decides": decides,
        "reason": _reason(name, gate, value, champions) if decides else "",
    }


def _reason(name: str, gate: MetricGate, value: float | None, champions: list[Rival]) -> str:
    """Return why a metric refuses the challenger, or an empty string."""
    sign = 1.0 if gate.higher_is_better else -1.0
    if finite(value) is None or value is None:
        return "the challenger has no such metric" if value is None else "the challenger's value is not a number"
    if gate.floor is not None and sign * (value - gate.floor) < 0:
        return f"{value:.4f} is beyond the {'floor' if sign > 0 else 'ceiling'} {gate.floor:.4f}"
    if not champions:
        return "" if gate.floor is not None else "there is no champion to compare with and no floor is set"
    if gate.allowed_drop is None:
        return ""
    if finite(champions[0].metrics.get(name)) is None:
        return "the champion has no such metric to compare with"
    return _drop(name, gate.allowed_drop, sign, champions)


def _drop(name: str, allowed: float, sign: float, champions: list[Rival]) -> str:
    """Return who beats a challenger by more than ``allowed``: what answers, else the one that does it most."""
    for held_against in (champions[:1], champions):
        worst = largest_drop(name, sign, held_against)
        if worst is not None and worst[1] > allowed:
            now, before = worst[0].ours[name], worst[0].metrics[name]
            whose = f"the champion's {before:.4f}" if worst[0] is champions[0] else f"{before:.4f} of {worst[0].name}"
            return f"{now:.4f} against {whose}: worse by more than {allowed:.4f}"
    return ""


def _keep(verdict: Verdict, challenger: ModelRef) -> None:
    folder = settings().work / "nights" / challenger.night
    write_atomic(folder / "verdict.json", canonical_json({**asdict(verdict), "bundle_digest": challenger.digest}))
    tags = {
        "gate": "passed" if verdict.passed else "refused",
        "gate_reasons": "; ".join(verdict.reasons)[:4000] or "none",
        "gate_champion": verdict.champion or "none",
    }
    tag_version(challenger.version, tags)
