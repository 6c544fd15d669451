"""Remote execution of a stage: another workspace fetches its inputs by digest from a DVC remote, and pushes its output.

:func:`submit` and :func:`fetch` run where the night is, :func:`execute` on the remote worker. A :class:`StageRequest`
and a :class:`StageResult` are all that goes between them beside the remote; they are small and travel as JSON.
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
from ecclip.registry import fetch_outputs, push_outputs


class StageRequest(BaseModel):
    """What a remote worker needs to run a stage of a night.

    Attributes:
        stage: its name.
        night: an ISO date.
        previous: the night that it is compared with, ``none`` for the first.
        params: the text of the submitter's params.yaml.
        code: digest of the code that decides the stage's result.
        inputs: entries of dvc.lock: the digests of the folders that the stage reads, which lie in the remote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: str
    night: str
    previous: str
    params: str
    code: str
    inputs: dict[str, Any]


class StageResult(BaseModel):
    """What a remote worker made: ``output`` is the entry of dvc.lock with the digest of the stage's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: str
    night: str
    output: dict[str, Any]


def submit(stage: str, night: str) -> StageRequest:
    """Push the inputs of a stage and return the request for a remote worker.

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
    return StageRequest(
        stage=stage,
        night=night,
        previous=previous_of(night) or NO_NIGHT,
        params=(settings().workspace / "params.yaml").read_text(),
        code=_code(stage),
        inputs=push_outputs(night, [writers[template] for template in STEPS[stage].inputs.values()]),
    )


def execute(request: StageRequest) -> StageResult:
    """Fetch the inputs, run the stage with the submitter's parameters and push its output.

    Killed and called again it continues where the stage does.

    Raises:
        ConfigError: this workspace has other code, or no DVC remote.
        ServiceError: the remote lacks an input, or does not take the output.
        EcclipError: what the stage itself raises.
    """
    if request.code != _code(request.stage):
        raise ConfigError(
            "the code here is not that of the submitter, so that the result would be another one",
            value=f"stage {request.stage}: {_code(request.stage)[:12]}",
            limit=request.code[:12],
            next_step="install the same version of ecclip on both sides",
        )
    enter_night(request.night, request.previous)
    write_atomic(settings().workspace / "params.yaml", request.params)
    fetch_outputs(request.inputs)
    run_stage(request.stage, request.night)
    output = push_outputs(request.night, [request.stage])
    return StageResult(stage=request.stage, night=request.night, output=output)


def fetch(result: StageResult) -> Report:
    """Fetch the output that :func:`execute` pushed and return the stage's report.

    Raises:
        ServiceError: the remote has not all of it.
        IntegrityError: a file is not what its manifest says.
    """
    fetch_outputs(result.output)
    report = report_of(work_path(STEPS[result.stage].output, result.night))
    assert report is not None  # its folder was verified by its manifest
    path = work_path(f"reports/{{night}}/{result.stage}.json", result.night)
    write_atomic(path, canonical_json(report.model_dump()))
    get_logger().info("fetched from a remote worker", stage=result.stage, night=result.night)
    return report


def _code(stage: str) -> str:
    files = fingerprint(STEPS[stage].function.split(":")[0])
    return sha256_bytes(canonical_json(files).encode())
