"""Errors of training; a tree of its own, because the engine runs where pydantic is not installed."""

from __future__ import annotations

PREEMPTED_EXIT_CODE = 143  # 128 + SIGTERM, what a shell reports for a terminated process


class TrainError(ValueError):
    """Training cannot go on: what is wrong, the value, the limit, the next step."""

    def __init__(self, what: str, *, value: object = None, limit: object = None, next_step: str = "") -> None:
        self.what, self.value, self.limit, self.next_step = what, value, limit, next_step
        labelled = (("value", value), ("limit", limit), ("next", next_step or None))
        super().__init__("; ".join([what, *(f"{label}: {text}" for label, text in labelled if text is not None)]))


class PairsError(TrainError):
    """The training pairs are missing, damaged or too few."""


class CheckpointError(TrainError):
    """A checkpoint cannot be written; the previous one is untouched."""


class DivergedError(TrainError):
    """Too many steps in a row had a loss or a gradient that is no finite number."""


class OutOfMemoryError(TrainError):
    """Not even a single pair at a time fits into the memory."""


class ProcessesError(TrainError):
    """The processes of one training cannot work together."""


class Preempted(SystemExit):
    """SIGTERM came: a checkpoint is written, the same call continues from it. Exit code 143."""

    def __init__(self, step: int) -> None:
        super().__init__(PREEMPTED_EXIT_CODE)
        self.step = step
