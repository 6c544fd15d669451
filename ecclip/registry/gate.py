"""The gate between challenger and champion: named metrics, floors, allowed drops. It fails closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
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
    held_against,
    label_notes,
    largest_drop,
    rows_of,
)
from ecclip.registry.reigning import reigning
from ecclip.registry.versions import ModelRef, model_version, tag_version

_BOUND = "/auto_precision_at_most"


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

    @property
    def sign(self) -> float:
        """1 where more is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0


def default_metrics() -> dict[str, MetricGate]:
    """Return what every task of ``ecclip.tasks.kinds.TASKS`` asks of the gate."""
    from ecclip.tasks.kinds import gate_defaults  # the registry starts without scikit-learn

    return {name: MetricGate(**asdict(limit)) for name, limit in gate_defaults().items()}


class GateConfig(StageConfig):
    """What decides whether a challenger may become champion; limits by judgment."""

    metrics: dict[str, MetricGate] = Field(
        default_factory=default_metrics,
        description="metric of the report, or a pattern of them (`age:*/both/recall`) -> its limits; default: what the "
        "tasks ask (`gate` in ecclip/tasks/kinds)",
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
    accepted: dict[str, list[str]] = Field(
        {},
        description="intended changes of labels: metrics and comparisons, or patterns, by the name of the change (a "
        "refusal names both); they are not held against champions from before it",
    )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Passed or not, every reason against it, and the champion that it was compared with (None: nothing answered), by
    version and bundle.

    ``compared`` has a row per metric of the configuration, ``cells`` one per task, modality and part of the catalog and
    rival, ``labels`` one per rival and head whose labels differ. ``cells_outcome`` counts how the challenger's own
    report ends beside the frozen start, ``notes`` say what could not be compared as it should, and ``if_meant`` what
    ``gate.accepted`` would have to say to let a change of labels pass.
    """

    version: str
    passed: bool
    reasons: tuple[str, ...]
    champion: str | None
    champion_digest: str | None = None
    compared: tuple[dict[str, Any], ...] = ()
    cells: tuple[dict[str, Any], ...] = ()
    labels: tuple[dict[str, Any], ...] = ()
    cells_outcome: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    if_meant: dict[str, list[str]] = field(default_factory=dict)

    @property
    def way_out(self) -> str:
        """The setting that accepts the change of labels behind the reasons, in words; empty where there is none."""
        if not self.if_meant:
            return ""
        return f"if the other labels are meant: gate: {{accepted: {json.dumps(self.if_meant, ensure_ascii=False)}}}"


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
    missing or not a number, one by labels that the champion does not know, no floor for a first champion, a precision
    of `auto` answers that the test listings refute, or a registry that does not answer give a verdict that is not
    passed, with the reason.
    """
    try:
        challenger = model_version(version)
        verdict = _earlier_verdict(challenger)
        if verdict is None:
            answers = reigning()
            # one that a person made the first champion by hand is not compared with itself
            against = None if answers is not None and answers.digest == challenger.digest else answers
            verdict = _verdict(cfg, challenger, against, prove, score)
            _keep(verdict, challenger)
    except EcclipError as error:
        return Verdict(version=str(version), passed=False, reasons=(str(error),), champion=None)
    return verdict


def promises_refuted(metrics: Mapping[str, float]) -> list[str]:
    """Return a reason against a bundle for each head and modality whose `auto` promise its test listings refute.

    ``metrics`` are those of the bundle. Refuted is a promise above the one-sided 95 % upper bound of the precision of
    the test's `auto` answers; where none is `auto` there is no bound and nothing to refute.
    """
    reasons = []
    for name, bound in sorted(metrics.items()):
        if not name.endswith(_BOUND):
            continue
        promise = metrics.get(f"{name.removesuffix(_BOUND)}/auto_promise")
        if promise is None:
            reasons.append(f"{name}: the bundle does not say what `auto` promises")
        elif not bound >= promise:
            reasons.append(f"{name}: {bound:.4f}, less than the {promise:.4f} that `auto` promises")
    return reasons


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
        against, digest = (None, None) if answers is None else (answers.version, answers.digest)
        reasons = (str(error),)
        return Verdict(
            version=challenger.version, passed=False, reasons=reasons, champion=against, champion_digest=digest
        )
    return _compare(cfg, challenger, new, answers, score)


def _compare(
    cfg: GateConfig, challenger: ModelRef, new: dict[str, float], answers: ModelRef | None, score: Score | None
) -> Verdict:
    report = Bundle(stored_bundle(challenger)).report()
    champions = champion_rivals(challenger, new, answers, cfg.champions, cfg.min_rows, score)
    frozen = frozen_rival(challenger, score)
    asked = [(rival, cfg.cell_drop) for rival in champions] + ([(frozen, cfg.frozen_drop)] if frozen else [])
    compared = tuple(
        _row(name, gate, new, rows_of(name, report.rows), champions, cfg)
        for name, gate in sorted(_named(cfg.metrics, new, champions).items())
    )
    cells = tuple(_waived(row, champions, cfg) for row in cell_rows(asked, cfg.min_rows))
    reasons = [f"{row['metric']}: {row['reason']}" for row in compared if row["reason"]]
    reasons += [f"{row['cell']}: {row['reason']}" for row in cells if row["reason"]]
    reasons += promises_refuted(new)
    refused = [(row.get("cell") or row["metric"], row["against"]) for row in (*compared, *cells) if row["reason"]]
    return Verdict(
        version=challenger.version,
        passed=not reasons and any(row["decides"] for row in compared),
        reasons=tuple(reasons or _undecided(cfg, compared)),
        champion=None if answers is None else answers.version,
        champion_digest=None if answers is None else answers.digest,
        compared=compared,
        cells=cells,
        labels=_label_rows(champions),
        cells_outcome=report.cells,
        notes=_notes(compared, cells, champions),
        if_meant=_if_meant(refused, champions),
    )


def _named(
    limits: Mapping[str, MetricGate], new: Mapping[str, float], champions: Sequence[Rival]
) -> dict[str, MetricGate]:
    """Return limits by the names of metrics: a pattern stands for all that the challenger has, or had before.

    What is named itself is not taken from a pattern.
    """
    known = {*new, *(champions[0].claims if champions else ())}
    found: dict[str, MetricGate] = {}
    for pattern, limit in limits.items():
        if "*" in pattern:
            found |= {name: limit for name in known if fnmatchcase(name, pattern)}
    return found | {name: limit for name, limit in limits.items() if "*" not in name}


def _undecided(cfg: GateConfig, compared: tuple[dict[str, Any], ...]) -> list[str]:
    """Return why nothing lets a challenger pass against which nothing speaks; nothing where a metric decides."""
    if not compared:
        return ["the gate names no metric: params.yaml, section gate"]
    if any(row["decides"] for row in compared):
        return []
    few = ", ".join(f"{row['metric']} {row['rows']}" for row in compared)
    return [f"no gated metric rests on gate.min_rows = {cfg.min_rows} test listings ({few}): lower it in params.yaml"]


def _row(
    name: str,
    gate: MetricGate,
    new: Mapping[str, float],
    rows: int | None,
    champions: Sequence[Rival],
    cfg: GateConfig,
) -> dict[str, Any]:
    value = new.get(name)
    before = champions[0].claims.get(name) if champions else None
    compared = champions[0].metrics.get(name) if champions else None
    common = champions[0].on_common_labels(name) if champions else None
    has, had = finite(value) is not None, finite(before) is not None
    decides = rows is None or (rows >= cfg.min_rows and (has or had)) or (had and not has)
    left = held_against(name, champions, cfg.accepted)
    worst = largest_drop(name, gate.sign, left)
    reason, against = _reason(name, gate, value, champions, left) if decides else ("", "")
    return {
        "metric": name,
        "challenger": finite(value),
        "champion": finite(before if common or compared is None else compared),
        "on_common_labels": common,
        "best_champion": None if worst is None else worst[0].metrics[name],
        "floor": gate.floor,
        "allowed_drop": gate.allowed_drop,
        "rows": rows,
        "decides": decides,
        "accepted": champions[len(left)].change.name if len(left) < len(champions) else "",
        "against": against,
        "reason": reason,
    }


def _reason(
    name: str, gate: MetricGate, value: float | None, champions: Sequence[Rival], left: Sequence[Rival]
) -> tuple[str, str]:
    """Return why a metric refuses the challenger, and which champion it is that refuses; both empty without."""
    if finite(value) is None or value is None:
        return "the challenger has no such metric" if value is None else "the challenger's value is not a number", ""
    if gate.floor is not None and gate.sign * (value - gate.floor) < 0:
        return f"{value:.4f} is beyond the {'floor' if gate.sign > 0 else 'ceiling'} {gate.floor:.4f}", ""
    if not champions:
        return "" if gate.floor is not None else "there is no champion to compare with and no floor is set", ""
    if gate.allowed_drop is None or not left:
        return "", ""
    if finite(left[0].metrics.get(name)) is None:
        return left[0].why_nothing(name), left[0].name
    return _drop(name, gate.allowed_drop, gate.sign, left)


def _drop(name: str, allowed: float, sign: float, champions: Sequence[Rival]) -> tuple[str, str]:
    """Return who beats a challenger by more than ``allowed``: what answers, else the one that does it most."""
    for held in (champions[:1], champions):
        worst = largest_drop(name, sign, held)
        if worst is not None and worst[1] > allowed:
            now, before = worst[0].ours[name], worst[0].metrics[name]
            whose = f"the champion's {before:.4f}" if worst[0] is champions[0] else f"{before:.4f} of {worst[0].name}"
            common = worst[0].on_common_labels(name)
            where = f" on {common['rows'] or 'the'} test listings in classes that both know" if common else ""
            return f"{now:.4f} against {whose}{where}: worse by more than {allowed:.4f}", worst[0].name
    return "", ""


def _waived(row: dict[str, Any], champions: Sequence[Rival], cfg: GateConfig) -> dict[str, Any]:
    """Return the row of a cell, without its reason where a change of labels since its rival is accepted."""
    left = held_against(row["cell"], champions, cfg.accepted)
    waived = {rival.name for rival in champions[len(left) :]}
    if row["against"] not in waived:
        return row | {"accepted": ""}
    return row | {"accepted": champions[len(left)].change.name, "reason": ""}


def _if_meant(refused: Sequence[tuple[str, str]], champions: Sequence[Rival]) -> dict[str, list[str]]:
    """Return what ``gate.accepted`` has to say so that no champion refuses by labels that have changed since."""
    found: dict[str, list[str]] = {}
    names = [rival.name for rival in champions]
    for measured, against in refused:
        since = champions[: names.index(against) + 1] if against in names else []
        link = next((rival.change for rival in since if rival.change.touches(measured)), None)
        if link is not None and measured not in found.setdefault(link.name, []):
            found[link.name].append(measured)
    return found


def _label_rows(champions: Sequence[Rival]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"against": rival.name, "head": head, **asdict(shared)}
        for rival in champions
        for head, shared in sorted(rival.labels.items())
    )


def _notes(
    compared: Sequence[dict[str, Any]], cells: Sequence[dict[str, Any]], champions: Sequence[Rival]
) -> tuple[str, ...]:
    accepted = {row.get("cell") or row["metric"]: row["accepted"] for row in (*compared, *cells) if row["accepted"]}
    told = "{} is not held against champions from before the labels changed ({})"
    notes = [*(rival.note for rival in champions if rival.note), *label_notes(champions)]
    return (*notes, *(told.format(name, change) for name, change in accepted.items()))


def _keep(verdict: Verdict, challenger: ModelRef) -> None:
    folder = settings().work / "nights" / challenger.night
    write_atomic(folder / "verdict.json", canonical_json({**asdict(verdict), "bundle_digest": challenger.digest}))
    tags = {
        "gate": "passed" if verdict.passed else "refused",
        "gate_reasons": "; ".join([*verdict.reasons, *filter(None, [verdict.way_out])])[:4000] or "none",
        "gate_champion": verdict.champion or "none",
        "gate_champion_digest": verdict.champion_digest or "none",
    }
    tag_version(challenger.version, tags)
