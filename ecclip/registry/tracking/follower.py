"""The process next to a training: sends its spool to MLflow while it runs, and samples its use of the machine."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from ecclip.core import ServiceError, get_logger, locked, patient, settings
from ecclip.registry.tracking.delivery import SPOOLS, Delivery
from ecclip.spool import Spool

_IDLE_S = 0.5  # between two checks of the spool
_LONGEST_PAUSE_S = 15.0  # of the growing pause while MLflow does not answer
_AFTER_ITS_END_S = 5.0  # what is not sent by then is sent by the registration
_FIRST_SAMPLE_S, _SAMPLE_EVERY_S = 1.0, 10.0  # MLflow samples system metrics every ten seconds, too
# One attempt per call: the pauses between calls are ours, and end when the training does.
_ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}


def follow(folder: Path, parent: int) -> bool:
    """Send the spool of a training as it grows; return whether all of it was sent when the training had ended.

    Args:
        folder: of the training, with run.json and the spool.
        parent: process of the training; must be the parent of this one. Its death ends this process within seconds.

    Raises:
        ServiceError: another process is sending from this folder for too long.
    """
    os.nice(settings().tracking_niceness)  # run at low priority
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with locked(folder / "deliver.lock", "the delivery of metrics"):
        threading.Thread(target=_sample, args=(folder, parent), daemon=True, name="system metrics").start()
        return _send_until_the_end(Delivery(folder), parent)


def _send_until_the_end(delivery: Delivery, parent: int) -> bool:
    failures, deadline = 0, None
    while True:
        lives = os.getppid() == parent
        if not lives and deadline is None:
            deadline = time.monotonic() + patient(_AFTER_ITS_END_S)
        try:
            if delivery.send():
                failures = 0
            elif delivery.state.status not in (None, "RUNNING") or not lives:
                delivery.finish("KILLED")
                return True
            else:
                _pause(_IDLE_S, parent)
        except ServiceError as error:
            failures += 1
            get_logger().warning("metrics cannot be sent yet", tries=failures, error=str(error))
            _pause(min(_LONGEST_PAUSE_S, _IDLE_S * 2**failures), parent)
        if deadline is not None and time.monotonic() > deadline:
            return False


def _pause(seconds: float, parent: int) -> None:
    """Wait, but return at once when the training is gone."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(_IDLE_S, seconds))
        if os.getppid() != parent:
            return


def _sample(folder: Path, parent: int) -> None:
    """Append processor and memory use of the training to its own spool until it is gone."""
    spool = Spool(folder / SPOOLS[1])
    number = spool.next_step("system/cpu_percent")
    (used, _), at = _use(parent), time.monotonic()
    while os.getppid() == parent:
        time.sleep(_SAMPLE_EVERY_S if number else _FIRST_SAMPLE_S)
        (now, resident), then = _use(parent), time.monotonic()
        if not resident:
            return
        percent = 100 * max(0.0, now - used) / (then - at)  # a child that exits takes its counted time with it
        spool.add(number, {"system/cpu_percent": percent, "system/resident_megabytes": resident / 2**20})
        used, at, number = now, then, number + 1


def _use(pid: int) -> tuple[float, int]:
    """Return processor seconds and resident bytes of a process and its children, this one left out."""
    seconds, resident = 0.0, 0
    with suppress(psutil.Error):
        training = psutil.Process(pid)
        for process in (training, *training.children(recursive=True)):
            if process.pid != os.getpid():
                with suppress(psutil.NoSuchProcess):  # a child may exit while it is inspected
                    times = process.cpu_times()
                    seconds += times.user + times.system
                    resident += process.memory_info().rss
    return seconds, resident
