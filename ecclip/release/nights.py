"""The steps of a night: register, gate, bless, promote; keyed by the night."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal, cast

from ecclip import registry
from ecclip.atomic import MANIFEST
from ecclip.core import ContractError, GateError, Report, bind, digest_of, fail_point, get_logger, parse_night, settings
from ecclip.formats.bundle import lineage_of
from ecclip.nights import work_path
from ecclip.pipeline import STEPS, stage_config
from ecclip.registry import ModelRef
from ecclip.release.requests import reconcile
from ecclip.release.steps import answer_again, deployment_lock, examine, judge, let_answer, meant

_DECISION_WAIT_S = 900.0  # for an earlier night's verdict; training then starts from the champion that there is
_DECISION_POLL_S = 1.0  # between two checks of the registry


def await_decision(night: str, limit_s: float = _DECISION_WAIT_S) -> None:
    """Wait until the challenger of an earlier night is champion or refused, because a night starts from the champion.

    In a backfill the deployment of one night overlaps the catalog of the next. After ``limit_s`` seconds the night
    continues from the current champion, which is logged.

    Raises:
        ServiceError: the registry does not answer.
    """
    deadline = time.monotonic() + limit_s
    while (challenger := _awaited(night)) is not None:
        if time.monotonic() > deadline:
            get_logger().warning(
                "an earlier night is still undecided: training starts from the champion that there is",
                version=challenger.version,
                undecided=challenger.night,
                waited_s=limit_s,
            )
            return
        time.sleep(_DECISION_POLL_S)


def _awaited(night: str) -> ModelRef | None:
    """Return the undecided challenger of an earlier night, if it may still become champion."""
    found = registry.undecided()
    if found is None or found.night >= parse_night(night) or _superseded(found, registry.reigning()):
        return None
    return found


def register_night(night: str) -> dict[str, Any]:
    """Enter the night's bundle into the registry as @challenger, with the metrics of its training.

    Raises:
        ContractError: the night has no bundle.
        ServiceError: the registry does not answer.
    """
    return register_bundle(_bundle(night), night)


def register_bundle(bundle: Path, night: str, *, challenges: bool = True) -> dict[str, Any]:
    """Enter a bundle of a night into the registry as :func:`register_night` does; its training lies beside it."""
    spool = bundle.parent / "train" / "metrics.jsonl"
    registered = registry.register(bundle, night, spool if spool.is_file() else None, challenges=challenges)
    return {
        "night": night,
        "version": registered.version,
        "run_id": registered.run_id,
        "digest": registered.digest,
        "lineage_id": lineage_of(registered.digest),
    }


def gate_night(night: str, version: str | None = None) -> dict[str, Any]:
    """Compare the night's version with what answers by the section ``gate`` of params.yaml.

    ``version`` of the registry is what is meant, whatever bundle the night's folder holds by now; without it, that one.
    A refused one of a night that a later one has overtaken is no error: it would not be promoted either way.

    Raises:
        GateError: the gate refuses; the error carries every reason.
        IntegrityError: the registry does not know what answers; names the way out. Nothing is judged as a first
            champion then.
    """
    reference = _registered(night, version)
    answers = registry.reigning()
    verdict = judge(reference.version)
    if not verdict.passed:
        if verdict.champion and (reason := _superseded(reference, answers)):
            return _skipped(night, reference, "passed", f"{reason}; the gate refuses it, too")
        raise GateError(
            f"version {reference.version} of night {night} may not become champion",
            value="; ".join(verdict.reasons),
            next_step="; ".join(["see the report of the version; the champion keeps answering", *meant(verdict)]),
        )
    return {
        "night": night,
        "version": reference.version,
        "digest": reference.digest,
        "passed": True,
        "champion": verdict.champion,
    }


def build_engine_night(
    night: str,
    version: str | None = None,
    *,
    builder: Literal["tensorrt", "rtx"] = "tensorrt",
    capability: str = "",
) -> Report:
    """Build the engines of the night's bundle by the section ``engine`` of params.yaml, on the GPU of this machine.

    ``version`` as in :func:`gate_night`. ``builder`` may be ``rtx``, which builds for a compute capability without a
    GPU; no server loads those.

    Raises:
        ConfigError: this machine has no TensorRT or no GPU.
        ContractError: the night has no bundle, or that has no graphs of the precision.
        ServiceError: a graph cannot be built.
    """
    from ecclip.serving import EngineConfig, build_engines

    bundle = registry.stored_bundle(_registered(night, version)) if version else _bundle(night)
    return build_engines(bundle, cast(EngineConfig, stage_config("engine")), builder, capability)


def bless_night(night: str, version: str | None = None) -> dict[str, Any]:
    """Load the night's bundle next to the live one on the server and verify it with the golden listings.

    ``version`` as in :func:`gate_night`.

    Raises:
        GateError: an answer differs from the in-process one by more than the tolerance, or a budget is not kept.
        ServiceError: the inference server does not answer.
    """
    reference = _registered(night, version)
    if reason := _superseded(reference, registry.reigning()):
        return _skipped(night, reference, "blessed", reason)
    with deployment_lock():
        _, blessing = examine(reference)
    return {
        "night": night,
        "version": reference.version,
        "digest": reference.digest,
        "blessed": True,
        "max_difference": float(blessing.max_difference),
        "latency_ms": float(blessing.latency_ms),
    }


def promote_night(night: str, version: str | None = None) -> dict[str, Any]:
    """Make the night's version live and champion; if either fails, the previous version is live again.

    What a person asked for by moving the alias comes first. A night older than the champion's is skipped:
    rerunning an old night never restores its model. ``version`` as in :func:`gate_night`.

    Raises:
        GateError: the version was not passed by the gate or not blessed, or another one became champion since.
        ServiceError: the server or the registry failed; the old version is live again.
    """
    from ecclip.serving import blessed_version, live_version

    promoted: dict[str, Any] = {"night": night, "promoted": True}
    with deployment_lock():
        reconcile()
        reference, answers = _registered(night, version), registry.reigning()
        promoted |= {"version": reference.version, "digest": reference.digest}
        if answers is not None and answers.digest == reference.digest:
            return promoted
        if reason := _superseded(reference, answers):
            return _skipped(night, reference, "promoted", reason)
        _require_verdict(reference, answers)
        number = blessed_version(reference.digest)
        if number is None:
            raise GateError(
                f"version {reference.version} is not blessed", next_step=f"ecclip release bless --night {night}"
            )
        before = live_version()
        let_answer(reference, number)
        fail_point("promote.live")
        try:
            against = None if answers is None else answers.digest
            registry.set_champion(reference.version, f"gate and blessing of night {night}", against=against)
        except BaseException:  # however the promotion ended, alias and live version must agree
            answer_again(before, reference.version)
            raise
    return promoted


def _bundle(night: str) -> Path:
    return bundle_at(STEPS["export"].output, night, "the night has no bundle", f"ecclip run export --night {night}")


def bundle_at(output: str, night: str, missing: str, next_step: str) -> Path:
    """Return a bundle of a night that lies at ``output``.

    Raises:
        ContractError: it is not there; says ``missing`` and ``next_step``.
    """
    bind(night=parse_night(night), run=settings().run_id)
    bundle = work_path(output, night)
    if not (bundle / MANIFEST).is_file():
        raise ContractError(missing, value=bundle, next_step=next_step)
    return bundle


def _registered(night: str, version: str | None) -> ModelRef:
    if version is not None:
        bind(night=parse_night(night), run=settings().run_id)
        return registry.model_version(version)
    digest = digest_of(_bundle(night))
    reference = registry.version_of(digest)
    if reference is None:
        raise ContractError(
            "the bundle is not registered", value=digest, next_step=f"ecclip release register --night {night}"
        )
    return reference


def _superseded(reference: ModelRef, answers: ModelRef | None) -> str:
    """Return why an old night is skipped, or an empty string."""
    if answers is None or answers.night <= reference.night:
        return ""
    return f"champion version {answers.version} was made from a later night, {answers.night}"


def _skipped(night: str, reference: ModelRef, what: str, reason: str) -> dict[str, Any]:
    registry.end_challenge(reference.version, reason)
    get_logger().warning(f"not {what}", version=reference.version, reason=reason)
    return {"night": night, "version": reference.version, "digest": reference.digest, what: False, "reason": reason}


def _require_verdict(reference: ModelRef, answers: ModelRef | None) -> None:
    """Refuse a version that the gate did not pass, or compared with another one than what answers now."""
    if reference.tags.get("gate") != "passed" or "rolled_back" in reference.tags:
        raise GateError(
            f"version {reference.version} was not passed by the gate",
            value=reference.tags.get("gate_reasons", "the gate has not run"),
            next_step=f"ecclip release gate --night {reference.night}",
        )
    against = reference.tags.get("gate_champion_digest", "unknown")
    if against != ("none" if answers is None else answers.digest):
        current = "no version" if answers is None else f"version {answers.version}"
        raise GateError(
            f"{current} became champion after the verdict on version {reference.version}",
            value=f"champion: {current}",
            limit=f"champion at the verdict: {reference.tags.get('gate_champion', 'none')} (bundle {against})",
            next_step=f"ecclip release gate --night {reference.night}",
        )
