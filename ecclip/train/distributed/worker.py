"""One of several training processes; torchrun starts ``-m ecclip.train.distributed.worker <folder of the job>``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from ecclip.core import EcclipError, settings
from ecclip.core.services import end_with_parent
from ecclip.errors import Preempted
from ecclip.spool import Spool
from ecclip.train.distributed.launch import JOB, describe, write_outcome
from ecclip.train.distributed.processes import Processes, join_processes, own_device
from ecclip.train.run.stage import TrainConfig, train_with


def main(folder: Path) -> None:
    """Train this process's rows of every batch; the first process writes the result."""
    device = own_device(settings().device)
    with join_processes(device, settings().train_timeout_s) as world:
        try:
            _train(world, device, folder)
        except EcclipError as error:
            write_outcome(folder, world.rank, describe(error))
            raise
        except Preempted as stop:
            write_outcome(folder, world.rank, {"kind": "preempted", "step": stop.step})
            world.any(False)  # torchrun ends the others as soon as one has left
            raise


def _train(world: Processes, device: torch.device, folder: Path) -> None:
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    paths = {name: Path(job[name]) for name in ("snapshot", "start", "output", "folder")}
    spool = Spool(Path(job["spool"])) if world.is_first and "spool" in job else None
    counts = train_with(world, device, TrainConfig.model_validate(job["config"]), **paths, spool=spool)
    if world.is_first:
        write_outcome(folder, world.rank, {"kind": "done", "counts": counts.model_dump(mode="json")})


if __name__ == "__main__":
    end_with_parent(os.getppid())
    main(Path(sys.argv[1]))
