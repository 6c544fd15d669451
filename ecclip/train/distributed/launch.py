"""Start several training processes with torchrun, wait for them, and return their outcome."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecclip.core import (
    ConfigError,
    ContractError,
    Counts,
    EcclipError,
    ServiceError,
    canonical_json,
    get_logger,
    settings,
    write_atomic,
)
from ecclip.errors import Preempted
from ecclip.train.engine.process import catch_termination

JOB = "job.json"
_POLL_S = 0.2  # between two checks of the processes
_ERRORS: dict[str, type[EcclipError]] = {kind.__name__: kind for kind in (ConfigError, ContractError, ServiceError)}


def train_in_processes(job: dict[str, Any], folder: Path) -> Counts:
    """Train in the processes that the settings name and return what the first of them counted.

    Args:
        job: what :mod:`ecclip.train.distributed.worker` reads.
        folder: for the job and its outcome; shared by every machine that takes part.

    Raises:
        EcclipError: what one of the processes raised; ServiceError if one of them died.
        Preempted: SIGTERM came, here or to one of the processes; a checkpoint is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("outcome-*.json"):
        old.unlink()
    write_atomic(folder / JOB, canonical_json(job))
    status, was_told = _run(torchrun_arguments(folder))
    outcomes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("outcome-*.json"))]
    return _outcome_of(status, outcomes, was_told)


def torchrun_arguments(folder: Path) -> list[str]:
    """Return the arguments of torchrun on this machine; another machine of the same training takes equal ones."""
    where = settings().train_launch or ["--standalone"]
    processes = f"--nproc-per-node={settings().train_processes}"
    return [*where, processes, "--max-restarts=0", "-m", "ecclip.train.distributed.worker", str(folder)]


def write_outcome(folder: Path, rank: int, outcome: dict[str, Any]) -> None:
    """Record how a process ended."""
    write_atomic(folder / f"outcome-{rank:05d}.json", canonical_json(outcome))


def describe(error: EcclipError) -> dict[str, Any]:
    """Return an error as an outcome that :func:`train_in_processes` raises again."""
    kind = next((kind for kind in type(error).__mro__ if kind.__name__ in _ERRORS), ServiceError)
    values = {name: None if (value := getattr(error, name)) is None else str(value) for name in ("value", "limit")}
    return {"kind": "error", "error": kind.__name__, "what": error.what, "next_step": error.next_step, **values}


def _run(arguments: Sequence[str]) -> tuple[int, bool]:
    """Run torchrun to its end and return its exit status, and whether SIGTERM was received and passed on. It and its
    processes end with this one.
    """
    get_logger().info("training in several processes", torchrun=shlex.join(arguments))
    command = [
        sys.executable,
        "-m",
        "ecclip.core.services.child",
        str(os.getpid()),
        "torch.distributed.run",
        *arguments,
    ]
    defaults = {
        "OMP_NUM_THREADS": str(settings().torch_threads),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(settings().train_timeout_s),  # time for a checkpoint after SIGTERM
    }
    with catch_termination() as termination:
        process = subprocess.Popen(command, env={**defaults, **os.environ}, stdin=subprocess.DEVNULL)
        is_told = False
        try:
            while True:
                try:
                    return process.wait(_POLL_S), is_told
                except subprocess.TimeoutExpired:
                    if termination.requested and not is_told:
                        process.terminate()
                        is_told = True
        finally:
            process.kill()
            process.wait()


def _outcome_of(status: int, outcomes: list[dict[str, Any]], was_told: bool) -> Counts:
    errors = [outcome for outcome in outcomes if outcome["kind"] == "error"]
    preempted = [outcome for outcome in outcomes if outcome["kind"] == "preempted"]
    done = [outcome for outcome in outcomes if outcome["kind"] == "done"]
    if errors:
        error = errors[0]
        kind = _ERRORS[error["error"]]
        raise kind(error["what"], value=error["value"], limit=error["limit"], next_step=error["next_step"])
    if preempted:
        raise Preempted(preempted[0]["step"])
    if was_told and not done:
        raise Preempted(0)  # it arrived before the first step
    if status != 0 or not done:
        raise ServiceError(
            "one of the training processes died",
            value=f"exit status {status} of torchrun",
            next_step="run the same command again: it continues from the last good checkpoint",
        )
    return Counts.model_validate(done[0]["counts"])
