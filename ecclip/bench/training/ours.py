"""One training step of ecclip, as its trainer takes it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal, Protocol

import torch

from ecclip.model import Towers
from ecclip.train import (
    Batch,
    Optimizer,
    OptimizerConfig,
    TrainerConfig,
    accumulate_gradients,
    deterministic,
    tower_executor,
)

Precision = Literal["float32", "bfloat16"]
MANY_STEPS = 1000  # of the learning-rate schedule, on which no timing depends


class System(Protocol):
    """Something that trains two towers on one batch, in any number of micro-batches."""

    name: str
    towers: Towers

    def use(self, batch: Batch) -> None:
        """Set the batch, on the towers' device, as a loader would give it."""

    def step(self, micro_batches: int) -> None:
        """Take one step of the optimizer on it."""

    def forget(self) -> None:
        """Drop the gradients of the last step."""


class Ours:
    """The engine of :mod:`ecclip.train`.

    Args:
        towers: trained in place.
        optimizer: rates, decay, clipping and what is frozen.
        threads: of the processor.
        precision: of the encoders.
        reproducible: equal bits in every run, as the trainer has it.
    """

    name = "ecclip"

    def __init__(
        self,
        towers: Towers,
        optimizer: OptimizerConfig,
        *,
        threads: int,
        precision: Precision = "float32",
        reproducible: bool = True,
    ) -> None:
        self.towers, self.threads, self.precision = towers, threads, precision
        self.towers.train(True)
        self.optimizer = Optimizer(towers, optimizer, MANY_STEPS)
        self.steps = 0
        self.reproducible = reproducible

    def use(self, batch: Batch) -> None:
        """Set the batch."""
        self.batch = batch

    def step(self, micro_batches: int) -> None:
        """Take one step, exact for every number of micro-batches."""
        device = self.towers.logit_scale.device
        reproducible = deterministic(self.threads, device) if self.reproducible else nullcontext()
        with reproducible, tower_executor(self.towers, self.threads) as executor:
            loss = accumulate_gradients(
                self.towers,
                self.batch,
                micro_batch_size=-(-len(self.batch) // micro_batches),
                labels=TrainerConfig().labels,
                seed=(0, self.steps),
                precision=self.precision,
                executor=executor,
            )
            norm = self.optimizer.clip()
            if torch.isfinite(loss + norm):
                self.optimizer.step(self.steps)
            self.optimizer.clear()
        self.steps += 1

    def forget(self) -> None:
        """Drop the gradients; a step leaves none."""
        self.optimizer.clear()
