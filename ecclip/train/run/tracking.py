"""Tracking of a training: a spool on the local disk, and a separate process that sends it to MLflow.

MLflow may refuse, hang or be slow: only that process notices. The registration sends what it could not.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecclip.core import canonical_json, get_logger, patient, write_atomic
from ecclip.errors import Preempted
from ecclip.spool import DELIVERY, Spool
from ecclip.train.data.preview import PAIRS, contact_sheet, texts_seen
from ecclip.train.engine.trainer import Trainer

FOLDER = "train.tracking"
_LAST_WAIT_S = 5.0  # for the last metrics; what is late is sent by the registration


@contextmanager
def tracking(folder: Path, description: Mapping[str, Any]) -> Iterator[Spool]:
    """Yield the spool in ``folder`` while a process sends it to MLflow; wait a few seconds at most for its last lines.

    That process is the command in :data:`ecclip.spool.DELIVERY`; without one the registration sends everything.

    Args:
        folder: of this training, kept when the training is complete.
        description: what the MLflow run is described by: ``key``, ``name``, ``tags`` and ``config``.
    """
    write_atomic(folder / "run.json", canonical_json(dict(description)))
    spool = Spool(folder / "metrics.jsonl")
    spool.mark("RUNNING")
    deliverer = _start(folder)
    try:
        yield spool
    except (Preempted, KeyboardInterrupt):
        spool.mark("KILLED")  # the grace period of a preemption belongs to the checkpoint: do not wait for the sender
        raise
    except BaseException:
        spool.mark("FAILED")
        _finish(deliverer, folder)
        raise
    else:
        spool.mark("FINISHED")
        _finish(deliverer, folder)
    finally:
        if spool.error is not None:
            get_logger().warning("some metrics were not kept", path=str(folder), error=str(spool.error))
        spool.close()


def save_preview(trainer: Trainer, folder: Path) -> None:
    """Write what the towers see of the first pairs, ``sample.png`` and ``sample.txt``."""
    epoch, rows = trainer.plan[0]
    batch = trainer.loader.make(epoch, rows[:PAIRS])
    texts = texts_seen(batch, trainer.towers.tokenizer)
    write_atomic(folder / "sample.png", contact_sheet(batch.pixels.numpy()))
    write_atomic(folder / "sample.txt", "".join(f"{number:2d}  {text}\n" for number, text in enumerate(texts, 1)))


def _start(folder: Path) -> subprocess.Popen[bytes] | None:
    if not DELIVERY.get():
        return None
    command = [*DELIVERY.get(), str(folder), "--parent", str(os.getpid())]
    try:
        with (folder / "deliver.log").open("w") as log:
            # in a separate process group: a signal to the training's group must not lose the last metrics
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, process_group=0
            )
    except OSError as error:
        get_logger().warning("metrics are sent later: no process could be started for it", error=str(error))
        return None


def _finish(deliverer: subprocess.Popen[bytes] | None, folder: Path) -> None:
    """Give the sender a few seconds; killing it loses nothing, since what it had not sent is in the spool."""
    if deliverer is None:
        return
    try:
        deliverer.wait(patient(_LAST_WAIT_S))
    except subprocess.TimeoutExpired:
        deliverer.kill()
        deliverer.wait()
    if deliverer.returncode != 0:
        log = str(folder / "deliver.log")
        get_logger().warning("metrics wait in the spool for the registration", path=str(folder), log=log)
