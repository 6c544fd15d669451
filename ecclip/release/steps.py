"""What nights and requests have in common: one deployment at a time, the gate, the blessing, going live."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, cast

from ecclip import registry
from ecclip.core import GateError, get_logger, locked, settings
from ecclip.pipeline import stage_config
from ecclip.registry import GateConfig, ModelRef, Verdict
from ecclip.release.judged import write_judged_page
from ecclip.release.scoring import Examination

if TYPE_CHECKING:
    from ecclip.serving import Blessing, DeployConfig

_DEPLOY_WAIT_S = 300.0  # for another deployment, which loads a bundle and asks its golden listings


def deployment_lock() -> AbstractContextManager[None]:
    """Let one deployment at a time through, whoever started it."""
    return locked(settings().work / "run" / "deploy.lock", "the deployment", _DEPLOY_WAIT_S)


def deploy_config() -> DeployConfig:
    """Return the section ``deploy`` of params.yaml."""
    return cast("DeployConfig", stage_config("deploy"))


def judge(version: str) -> Verdict:
    """Compare a version with what answered before and with the frozen start, by the section ``gate`` of params.yaml.

    The verdict is also put on the bundle's page, ``work/reports/<night>/report.html``.
    """
    examination = cache(Examination)  # the challenger is asked once, whatever it is compared with
    verdict = registry.check_gate(
        cast(GateConfig, stage_config("gate")),
        version,
        prove=lambda challenger: examination(challenger).prove(),
        score=lambda challenger, other: examination(challenger).beside(other),
    )
    write_judged_page(verdict)
    return verdict


def meant(verdict: Verdict) -> list[str]:
    """Return the setting that lets a refused version pass if its other labels are meant, in words; else nothing."""
    return [f"{verdict.way_out} in params.yaml"] if verdict.way_out else []


def examine(reference: ModelRef) -> tuple[int, Blessing]:
    """Load a version's bundle beside the live one and ask it its golden listings; the outcome becomes a tag.

    Returns:
        the version that the bundle is on the server, and its blessing.

    Raises:
        IntegrityError: the bundle is not in the store, or not what its digest says; nothing is loaded then.
        GateError: an answer differs from the in-process one by more than the tolerance, or a budget is not kept.
        ServiceError: the inference server does not answer.
    """
    from ecclip.serving import EngineConfig, bless, stage_bundle

    bundle = registry.stored_bundle(reference)
    engine = cast(EngineConfig, stage_config("engine"))
    number = stage_bundle(bundle, engine).version
    blessing = bless(number, deploy_config())
    registry.tag_version(reference.version, {"blessing": "passed" if blessing.passed else "refused"})
    if not blessing.passed:
        raise GateError(
            f"version {reference.version} of night {reference.night} is not blessed on the server",
            value="; ".join(blessing.reasons[:5]),
            next_step="the champion keeps answering; compare the ONNX graphs with the towers, or, where a larger model "
            "is meant, widen deploy.budget in params.yaml",
        )
    return number, blessing


def let_answer(reference: ModelRef, number: int) -> None:
    """Let a version that is blessed as ``number`` on the server answer, and see that it is its bundle that does.

    Raises:
        GateError: it is not blessed, or its answers differ; what answered before goes on.
        IntegrityError: another bundle answers; names both.
        ServiceError: a server does not answer or does not load it; what answered before goes on.
    """
    from ecclip.serving import go_live, require_answering

    go_live(number, deploy_config())
    require_answering(reference.digest)


def answer_again(before: int | None, version: str) -> None:
    """Let the version answer that answered before a promotion which failed."""
    from ecclip.serving import live_version, roll_back

    get_logger().error("promotion failed, the old version answers again", version=version, back_to=before)
    if before is not None and before != live_version():
        roll_back(before)
