"""The state of a training run, and how its metrics are reported."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import torch

from ecclip.train.engine.budget import Budget
from ecclip.train.engine.measures import Tracker


@dataclass
class Progress:
    """Where a training stands; part of every checkpoint.

    ``metrics`` are (step, name, value) rows; ``skipped`` counts steps that were not finite, ``skipped_in_a_row``
    those since the last good one; ``validated`` is the step that the held-out listings were last measured after.
    ``best`` is the best validation so far, the mean of what was measured, and ``stale`` how many came after it.
    ``micro_batch_size`` and ``micro_batch_tokens`` are the budget that the memory has allowed so far, ``loss_scale``
    and ``steps_since_overflow`` the state of the loss scale in float16.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    validated: int = 0
    best: float | None = None
    stale: int = 0
    metrics: list[tuple[int, str, float]] = field(default_factory=list)
    micro_batch_size: int = 1
    micro_batch_tokens: int | None = None
    loss_scale: float = 1.0
    steps_since_overflow: int = 0

    @property
    def budget(self) -> Budget:
        """The streams that fit into the memory."""
        return Budget(self.micro_batch_size, self.micro_batch_tokens)

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self.micro_batch_size, self.micro_batch_tokens = budget.images, budget.tokens

    def add(self, step: int, **values: float) -> None:
        """Record values after ``step`` steps; ``__`` in a name becomes a slash."""
        self.metrics += [(step, name.replace("__", "/"), value) for name, value in values.items()]

    def judge(self, measured: Mapping[str, float]) -> None:
        """Count a validation as better than all before, or as one more without a gain; nothing measured is neither."""
        if not measured:
            return
        score = sum(measured.values()) / len(measured)
        if self.best is None or score > self.best:
            self.best, self.stale = score, 0
        else:
            self.stale += 1


def log_to_logging(event: str, **values: object) -> None:
    """Log through the standard library; the stage hands in the structured logger instead."""
    logging.getLogger("ecclip.train").info("%s %s", event, values)


def log_nothing(event: str, **values: object) -> None:
    """Log nothing: the first process does."""


class Reporter:
    """Hands on metrics and speed as soon as they are measured; no result depends on it.

    Args:
        device: that trains.
        tracker: gets every metric and the speed.
        timing: file that gets the speed, one JSON object per line.
    """

    def __init__(self, device: torch.device, tracker: Tracker | None, timing: Path | None) -> None:
        self.device, self._tracker, self._timing = device, tracker, timing
        self._published = 0

    def publish(self, progress: Progress) -> None:
        """Pass what was measured since the last call to the tracker."""
        rows = progress.metrics[self._published :]
        self._published = len(progress.metrics)
        if self._tracker is not None:
            for step, of_step in groupby(rows, key=itemgetter(0)):
                self._tracker.add(step, {name: value for _, name, value in of_step})

    def time(self, step: int, pairs: int, *, wait: float, seconds: float) -> None:
        """Report how long a step took and how much of that was waiting for data, in seconds."""
        if self._tracker is not None:
            self._tracker.add(step, self._speed(pairs, wait, seconds))
        if self._timing is not None:
            rate = round(pairs / seconds, 2)
            line = {"pairs": pairs, "pairs_per_second": rate, "wait": round(wait, 4), "seconds": round(seconds, 4)}
            with self._timing.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _speed(self, pairs: int, wait: float, seconds: float) -> dict[str, float]:
        speed = {"speed/pairs_per_second": pairs / seconds, "speed/data_wait_share": wait / seconds}
        if self.device.type == "cuda":
            speed["system/gpu_memory_megabytes"] = torch.cuda.max_memory_allocated(self.device) / 2**20
        return speed
