"""A stage in another workspace: its inputs go there by their digests over a DVC remote, and its output comes back so.

:func:`send` and :func:`take` run here, :func:`run_apart` there. A :class:`Parcel` is all that goes between them beside
the remote; it is small and travels as JSON.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from ecclip.core import (
    ConfigError,
    Report,
    canonical_json,
    fingerprint,
    get_logger,
    report_of,
    settings,
    sha256_bytes,
    write_atomic,
)
from ecclip.nights import NO_NIGHT, enter_night, previous_of, work_path
from ecclip.pipeline import STEPS, run_stage
from ecclip.registry import send_outputs, take_outputs


class Parcel(BaseModel):
    """What another workspace needs to run a stage of a night, or has made by it.

    Attributes:
        stage: its name.
        night: an ISO date.
        previous: the night that it is compared with, ``none`` for the first.
        params: the text of the sender's params.yaml.
        code: digest of the code that decides the stage's result.
        outputs: entries of dvc.lock: the digests of the folders that lie in the remote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: str
    night: str
    previous: str
    params: str
    code: str
    outputs: dict[str, Any]


def send(stage: str, night: str) -> Parcel:
    """Push the inputs of a stage and return what another workspace runs it from.

    Raises:
        ConfigError: the workspace has no DVC remote, or the stage reads what no stage of its night writes.
        ServiceError: an input is missing, or the remote does not take it.
    """
    writers = {step.output: name for name, step in STEPS.items() if not step.external}
    unknown = sorted(set(STEPS[stage].inputs.values()) - set(writers))
    if unknown:
        raise ConfigError(
            "the stage cannot run in another workspace",
            value=f"{stage} reads {', '.join(unknown)}",
            limit="outputs of the same night",
            next_step="run it in this one: ECCLIP_GPU_WORKSPACE=shared",
        )
    return Parcel(
        stage=stage,
        night=night,
        previous=previous_of(night) or NO_NIGHT,
        params=(settings().workspace / "params.yaml").read_text(),
        code=_code(stage),
        outputs=send_outputs(night, [writers[template] for template in STEPS[stage].inputs.values()]),
    )


def run_apart(parcel: Parcel) -> Parcel:
    """Fetch the inputs, run the stage with the sender's parameters, push its output; return what the sender takes.

    Killed and called again it continues where the stage does.

    Raises:
        ConfigError: this workspace has other code, or no DVC remote.
        ServiceError: the remote lacks an input, or does not take the output.
        EcclipError: what the stage itself raises.
    """
    if parcel.code != _code(parcel.stage):
        raise ConfigError(
            "the code here is not that of the sender, so that the result would be another one",
            value=f"stage {parcel.stage}: {_code(parcel.stage)[:12]}",
            limit=parcel.code[:12],
            next_step="install the same version of ecclip on both sides",
        )
    enter_night(parcel.night, parcel.previous)
    write_atomic(settings().workspace / "params.yaml", parcel.params)
    take_outputs(parcel.outputs)
    run_stage(parcel.stage, parcel.night)
    return parcel.model_copy(update={"outputs": send_outputs(parcel.night, [parcel.stage])})


def take(parcel: Parcel) -> Report:
    """Fetch the output that :func:`run_apart` pushed and return the stage's report.

    Raises:
        ServiceError: the remote has not all of it.
        IntegrityError: a file is not what its manifest says.
    """
    take_outputs(parcel.outputs)
    report = report_of(work_path(STEPS[parcel.stage].output, parcel.night))
    assert report is not None  # its folder was verified by its manifest
    path = work_path(f"reports/{{night}}/{parcel.stage}.json", parcel.night)
    write_atomic(path, canonical_json(report.model_dump()))
    get_logger().info("taken from another workspace", stage=parcel.stage, night=parcel.night)
    return report


def _code(stage: str) -> str:
    files = fingerprint(STEPS[stage].function.split(":")[0])
    return sha256_bytes(canonical_json(files).encode())
