"""The weekly retraining: from the pretrained weights, beside the night's fine-tuning, and judged against it.

Fine-tuning night after night adapts to what is new and may forget what is old. Once a week the same stages train on the
same snapshot from the start; their bundle is a challenger like any other, and the gate compares it with what answers on
the same test listings.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, cast, get_args

from pydantic import Field

from ecclip.core import StageConfig, get_logger, parse_night, settings
from ecclip.pipeline import RETRAINED, STEPS, retrain_stage, stage_config, stages_of
from ecclip.release.nights import bundle_at, register_bundle

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "never"]
_WEEKDAYS = get_args(Weekday)[:7]  # without "never", in the order of date.weekday()


class RetrainConfig(StageConfig):
    """When towers are trained from the pretrained weights once more."""

    weekday: Weekday = Field(
        "saturday", description="nights of this day are trained from the pretrained weights, too (DAG weekly_retrain)"
    )


def retrain_due(night: str) -> dict[str, Any]:
    """Say whether a night is to be trained from the pretrained weights as well, and why not."""
    wanted = cast(RetrainConfig, stage_config("retrain")).weekday
    day = _WEEKDAYS[date.fromisoformat(parse_night(night)).weekday()]
    reason = "" if day == wanted else f"{night} is a {day}; retrain.weekday is {wanted}"
    if not reason and settings().gpu_workspace == "own":
        reason = "a GPU worker with a workspace of its own gets its inputs by DVC, which does not have this training"
    return {"night": night, "due": not reason, "reason": reason}


def retrain_night(night: str) -> dict[str, Any]:
    """Train a night from the pretrained weights, whatever its weekday, and register the bundle as @challenger.

    Raises:
        EcclipError: what a stage or the registry raises.
    """
    for name in stages_of(STEPS["train"].dag):
        report = retrain_stage(name, night)
        get_logger().info("retrained", stage=name, digest=report.digest)
    return register_retrained(night)


def register_retrained(night: str) -> dict[str, Any]:
    """Enter the bundle of a night's retraining into the registry as @challenger.

    Raises:
        ContractError: the night has no such bundle.
        ServiceError: the registry does not answer.
    """
    output = RETRAINED[STEPS["export"].output]
    bundle = bundle_at(output, night, "the night was not retrained", f"ecclip release retrain --night {night}")
    return register_bundle(bundle, night)
