"""The steps of a night with side effects outside its folders: register, gate, bless, promote.

Keyed by the night, called by the command line and by the Airflow tasks. Each can be run again at any time: what is
done stays done, and what was interrupted is completed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from ecclip import registry
from ecclip.core import ContractError, GateError, bind, digest_of, get_logger, locked, parse_night, settings
from ecclip.formats.bundle import lineage_of
from ecclip.pipeline import stage_config
from ecclip.registry import GateConfig, ModelRef, trace

__all__ = ["await_decision", "bless_night", "gate_night", "promote_night", "register_night", "trace"]

_DEPLOY_WAIT_S = 300.0  # for another deployment, which loads a bundle and asks its golden listings
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
    while (challenger := registry.undecided()) is not None and challenger.night < parse_night(night):
        if time.monotonic() > deadline:
            get_logger().warning(
                "an earlier night is still undecided: training starts from the champion that there is",
                version=challenger.version,
                undecided=challenger.night,
                waited_s=limit_s,
            )
            return
        time.sleep(_DECISION_POLL_S)


def register_night(night: str) -> dict[str, Any]:
    """Enter the night's bundle into the registry as @challenger, with the metrics of its training.

    Raises:
        ContractError: the night has no bundle.
        ServiceError: the registry does not answer.
    """
    bundle = _bundle(night)
    spool = bundle.parent / "train" / "metrics.jsonl"
    registered = registry.register(bundle, night, spool if spool.is_file() else None)
    return {
        "night": night,
        "version": registered.version,
        "run_id": registered.run_id,
        "digest": registered.digest,
        "lineage_id": lineage_of(registered.digest),
    }


def gate_night(night: str) -> dict[str, Any]:
    """Compare the night's version with the champion by the section ``gate`` of params.yaml.

    Raises:
        GateError: the gate refuses; the error carries every reason.
    """
    reference = _registered(night)
    from ecclip.tasks import check_claims

    verdict = registry.check_gate(cast(GateConfig, stage_config("gate")), reference.version, prove=check_claims)
    if not verdict.passed:
        raise GateError(
            f"version {reference.version} of night {night} may not become champion",
            value="; ".join(verdict.reasons),
            next_step="see the report of the version; the champion keeps answering",
        )
    return {"night": night, "version": reference.version, "digest": reference.digest, "champion": verdict.champion}


def bless_night(night: str) -> dict[str, Any]:
    """Load the night's bundle next to the live one on the server and verify it with the golden listings.

    Raises:
        GateError: an answer differs from the in-process one by more than the tolerance.
        ServiceError: the inference server does not answer.
    """
    from ecclip.serving import DeployConfig, bless, stage_version

    reference = _registered(night)
    if reason := _superseded(reference):
        return _skipped(night, reference, "blessed", reason)
    with locked(settings().work / "run" / "deploy.lock", "the deployment", _DEPLOY_WAIT_S):
        stage_version(settings().work / "bundles" / reference.digest, int(reference.version))
        blessing = bless(int(reference.version), cast(DeployConfig, stage_config("deploy")))
    registry.tag_version(reference.version, {"blessing": "passed" if blessing.passed else "refused"})
    if not blessing.passed:
        raise GateError(
            f"version {reference.version} of night {night} does not give the golden answers on the server",
            value="; ".join(blessing.reasons[:5]),
            next_step="the champion keeps answering; compare the ONNX graphs with the towers",
        )
    return {
        "night": night,
        "version": reference.version,
        "digest": reference.digest,
        "blessed": True,
        "max_difference": float(blessing.max_difference),
        "latency_ms": float(blessing.latency_ms),
    }


def promote_night(night: str) -> dict[str, Any]:
    """Make the night's version live and champion; if either fails, the previous version is live again.

    A night older than the champion's is skipped: rerunning an old night never restores its model.

    Raises:
        GateError: the version was not passed by the gate, or another one became champion since.
        ServiceError: the server or the registry failed; the old version is live again.
    """
    from ecclip.serving import go_live, live_version

    with locked(settings().work / "run" / "deploy.lock", "the deployment", _DEPLOY_WAIT_S):
        reference = _registered(night)
        if reason := _superseded(reference):
            return _skipped(night, reference, "promoted", reason)
        against = _verdict_against(reference)
        before = int(against) if against is not None else live_version()
        go_live(int(reference.version))
        try:
            registry.set_champion(reference.version, f"gate and blessing of night {night}", against=against)
        except BaseException:  # however the promotion ended, alias and live version must agree
            _restore_live(before, int(reference.version))
            raise
    return {"night": night, "version": reference.version, "digest": reference.digest, "promoted": True}


def _bundle(night: str) -> Path:
    bind(night=parse_night(night), run=settings().run_id)
    bundle = settings().work / "nights" / night / "bundle"
    if not (bundle / "manifest.json").is_file():
        raise ContractError("the night has no bundle", value=bundle, next_step=f"ecclip run export --night {night}")
    return bundle


def _registered(night: str) -> ModelRef:
    digest = digest_of(_bundle(night))
    reference = registry.version_of(digest)
    if reference is None:
        raise ContractError(
            "the bundle is not registered", value=digest, next_step=f"ecclip release register --night {night}"
        )
    return reference


def _superseded(reference: ModelRef) -> str:
    """Return why an old night is skipped, or an empty string."""
    reigning = registry.champion()
    if reigning is None or reigning.night <= reference.night:
        return ""
    return f"champion version {reigning.version} was made from a later night, {reigning.night}"


def _skipped(night: str, reference: ModelRef, what: str, reason: str) -> dict[str, Any]:
    get_logger().warning(f"not {what}", version=reference.version, reason=reason)
    return {"night": night, "version": reference.version, "digest": reference.digest, what: False, "reason": reason}


def _verdict_against(reference: ModelRef) -> str | None:
    """Return the champion that the version was compared with, if that is still the champion."""
    if reference.tags.get("gate") != "passed" or "rolled_back" in reference.tags:
        raise GateError(
            f"version {reference.version} was not passed by the gate",
            value=reference.tags.get("gate_reasons", "the gate has not run"),
            next_step=f"ecclip release gate --night {reference.night}",
        )
    against = reference.tags.get("gate_champion", "none")
    reigning = registry.champion()
    current = "none" if reigning is None else reigning.version
    if current not in (against, reference.version):
        raise GateError(
            f"version {current} became champion after the verdict on version {reference.version}",
            value=f"champion: {current}",
            limit=f"champion at the verdict: {against}",
            next_step=f"ecclip release gate --night {reference.night}",
        )
    return None if against == "none" else against


def _restore_live(before: int | None, version: int) -> None:
    from ecclip.serving import roll_back

    get_logger().error("promotion failed, the old version answers again", version=version, back_to=before)
    if before is not None and before != version:
        roll_back(before)
