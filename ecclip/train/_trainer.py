"""The training loop: exact batches, killable at any step, equal bits whether or not it was killed."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecclip.model import MAX_LOGIT_SCALE, Preprocessor, Towers
from ecclip.train._accumulate import Batch, accumulate_gradients
from ecclip.train._checkpoint import CheckpointStore
from ecclip.train._config import TrainerConfig
from ecclip.train._errors import DivergedError, PairsError, Preempted
from ecclip.train._execution import prepare_execution
from ecclip.train._lanes import Lanes, lanes_for
from ecclip.train._loader import Loader
from ecclip.train._measures import Tracker
from ecclip.train._optimizer import Optimizer
from ecclip.train._order import plan_training
from ecclip.train._pairs import Pairs
from ecclip.train._process import catch_termination, deterministic

_STREAM_OF_DROPOUT = 3
_LOG_EVERY = 10
Validate = Callable[[Towers], dict[str, float]]


@dataclass
class Progress:
    """Where a training stands; part of every checkpoint.

    ``metrics`` are (step, name, value) rows; ``skipped`` counts steps that were not finite, ``skipped_in_a_row``
    those since the last good one; ``validated`` is the step that the held-out listings were last measured after.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    validated: int = 0
    metrics: list[tuple[int, str, float]] = field(default_factory=list)

    def add(self, step: int, **values: float) -> None:
        """Take note of values after ``step`` steps; ``__`` in a name becomes a slash."""
        self.metrics += [(step, name.replace("__", "/"), value) for name, value in values.items()]


def log_to_logging(event: str, **values: object) -> None:
    """Log through the standard library; the stage hands in the structured logger instead."""
    logging.getLogger("ecclip.train").info("%s %s", event, values)


class Trainer:
    """Trains towers in place on the pairs of a snapshot.

    Args:
        towers: where to start; on the device that trains.
        pairs: what to learn from.
        preprocessor: the one that belongs to the towers.
        cfg: everything else that decides the result.
        folder: where checkpoints live; equal inputs must come with an equal folder, others with another one.
        threads: of the CPU kernels; part of the result's bits.
        validate: metrics of the towers, taken before the first step, on the way and after the last one.
        timing: file that gets throughput, one JSON a line; no result depends on it.
        tracker: gets every metric as soon as it is measured, speed included; no result depends on it.
        log: called with an event and named values.
    """

    def __init__(
        self,
        towers: Towers,
        pairs: Pairs,
        preprocessor: Preprocessor,
        cfg: TrainerConfig,
        folder: Path,
        *,
        threads: int = 2,
        validate: Validate | None = None,
        timing: Path | None = None,
        tracker: Tracker | None = None,
        log: Callable[..., None] = log_to_logging,
    ) -> None:
        self.towers, self.pairs, self.cfg = towers, pairs, cfg
        self.threads, self._validate, self._timing, self._log = threads, validate, timing, log
        self._tracker, self._published, self._aside = tracker, 0, 0.0
        self.device = towers.logit_scale.device
        self.loader = Loader(pairs, preprocessor, cfg.augment, cfg.seed, cfg.workers)
        self.plan = self._plan()
        self._full_batch = max(len(rows) for _, rows in self.plan)
        prepare_execution(towers, cfg)
        self.optimizer = Optimizer(towers, cfg.optimizer, len(self.plan))
        self._start = {
            name: parameter.detach().clone()
            for name, parameter in self.optimizer.parameters.items()
            if cfg.start_share > 0 and ".tower." in name
        }
        self.store = CheckpointStore(folder, cfg.keep_checkpoints, log)

    def run(self) -> Progress:
        """Train to the end, from the newest good checkpoint if there is one, and return what was measured.

        Raises:
            Preempted: SIGTERM came; a checkpoint is written.
            CheckpointError: a checkpoint cannot be written.
            DivergedError: too many steps in a row were not finite.
        """
        with (
            deterministic(self.threads, self.device),
            lanes_for(self.towers, self.threads) as lanes,
            catch_termination() as termination,
        ):
            progress = self._resume() or self._begin()
            self._learning_curve(progress)
            for batch in self._batches(progress.step):
                self._step(progress, batch, lanes)
                self._publish(progress)
                if termination.requested:
                    self._save(progress)
                    self._log("training stops after SIGTERM", step=progress.step)
                    raise Preempted(progress.step)
                self._learning_curve(progress)
                if progress.step % self.cfg.checkpoint_every == 0 and progress.step < len(self.plan):
                    self._save(progress)
            self.towers.train(False)
            self._mix_in_start()
            progress.add(progress.step, **self._measure())
            self._publish(progress)
        return progress

    def _plan(self) -> list[tuple[int, np.ndarray]]:
        order, seed = self.cfg.order, self.cfg.seed
        plan = plan_training(self.pairs.groups, self.pairs.categories, order, seed, self.cfg.epochs)
        if not plan:
            groups = len(np.unique(self.pairs.groups))
            what = "the pairs do not fill a single batch"
            raise PairsError(
                what, value=f"{len(self.pairs)} pairs of {groups} groups", limit=f"{order.batch_size} a batch"
            )
        return plan

    def _mix_in_start(self) -> None:
        """Move the networks back towards where they started, by ``start_share`` of the way."""
        with torch.no_grad():
            for name, start in self._start.items():
                self.optimizer.parameters[name].lerp_(start, self.cfg.start_share)

    def _begin(self) -> Progress:
        progress = Progress()
        progress.add(0, **self._measure())
        return progress

    def _learning_curve(self, progress: Progress) -> None:
        """Measure the held-out listings if that is due after this step; a resumed run makes up for it."""
        step, every = progress.step, self.cfg.validate_every
        inside = 0 < step < len(self.plan)
        due = inside and (step % every == 0 if every else self.plan[step][0] != self.plan[step - 1][0])
        if due and progress.validated != step:
            started = time.perf_counter()
            self.towers.train(False)
            progress.add(step, **self._measure())
            self.towers.train(True)
            progress.validated = step
            self._aside += time.perf_counter() - started
        self._publish(progress)

    def _publish(self, progress: Progress) -> None:
        """Hand the tracker what was measured since the last call."""
        rows = progress.metrics[self._published :]
        self._published = len(progress.metrics)
        if self._tracker is not None:
            for step, of_step in groupby(rows, key=itemgetter(0)):
                self._tracker.add(step, {name: value for _, name, value in of_step})

    def _measure(self) -> dict[str, float]:
        return self._validate(self.towers) if self._validate else {}

    def _resume(self) -> Progress | None:
        checkpoint = self.store.newest()
        if checkpoint is None:
            return None
        own = self.towers.state_dict()
        self.towers.load_state_dict({name: checkpoint.tensors[f"towers.{name}"] for name in own})
        prefix = "optimizer."
        moments = {k.removeprefix(prefix): v for k, v in checkpoint.tensors.items() if k.startswith(prefix)}
        self.optimizer.load(moments)
        self._log("training resumes", step=checkpoint.step, of=len(self.plan))
        state = checkpoint.state
        return Progress(**{**state, "metrics": [(int(s), str(n), float(v)) for s, n, v in state["metrics"]]})

    def _save(self, progress: Progress) -> None:
        towers = {f"towers.{name}": tensor for name, tensor in self.towers.state_dict().items()}
        moments = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        self.store.save(progress.step, {**towers, **moments}, vars(progress))

    def _batches(self, first: int) -> Iterator[Batch]:
        """Yield the batches from a step on and write down how fast they go."""
        self.towers.train(True)
        batches = self.loader.batches(self.plan[first:])
        for step in count(first + 1):
            asked, self._aside = time.perf_counter(), 0.0
            batch = next(batches, None)
            if batch is None:
                return
            got = time.perf_counter()
            yield batch.to(self.device)
            self._time(step, len(batch), wait=got - asked, seconds=time.perf_counter() - asked - self._aside)

    def _step(self, progress: Progress, batch: Batch, lanes: Lanes) -> None:
        step = progress.step
        loss = accumulate_gradients(
            self.towers,
            batch,
            stream_size=self.cfg.stream_size,
            labels=self.cfg.labels,
            seed=(self.cfg.seed, step, _STREAM_OF_DROPOUT),
            precision=self.cfg.precision,
            lanes=lanes,
        )
        norms = self.optimizer.norms()
        values = {"train/loss": float(loss), "train/gradient_norm": float(self.optimizer.clip())}
        progress.step = step + 1
        if all(math.isfinite(value) for value in values.values()):
            self.optimizer.step(step, len(batch) / self._full_batch)
            with torch.no_grad():
                self.towers.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
            progress.skipped_in_a_row = 0
            scale = {"train/logit_scale": float(self.towers.logit_scale.detach().exp())}
            progress.add(step + 1, **values, **scale, **norms, **self.optimizer.rates())
        else:
            self._skip(progress, values)
        self.optimizer.clear()
        if progress.step % _LOG_EVERY == 0 or progress.step == len(self.plan):
            self._log("training", step=progress.step, of=len(self.plan), loss=round(values["train/loss"], 4))

    def _skip(self, progress: Progress, values: dict[str, float]) -> None:
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        progress.add(progress.step, train__skipped=1.0)
        self._log("a step is not finite and is skipped", step=progress.step, **values)
        if progress.skipped_in_a_row > self.cfg.max_skipped:
            raise DivergedError(
                "training diverged: steps in a row whose loss or gradient is not finite",
                value=progress.skipped_in_a_row,
                limit=self.cfg.max_skipped,
                next_step="look at the batches named in the log, or lower the learning rates",
            )

    def _time(self, step: int, pairs: int, **seconds: float) -> None:
        """Tell how long a step took and how much of it was waiting for data; measurements on the way are left out."""
        if self._tracker is not None:
            self._tracker.add(step, self._speed(pairs, **seconds))
        if self._timing is not None:
            line: dict[str, Any] = {"pairs": pairs, "pairs_per_second": round(pairs / seconds["seconds"], 2)}
            with self._timing.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**line, **{name: round(value, 4) for name, value in seconds.items()}}) + "\n")

    def _speed(self, pairs: int, wait: float, seconds: float) -> dict[str, float]:
        speed = {"speed/pairs_per_second": pairs / seconds, "speed/data_wait_share": wait / seconds}
        if self.device.type == "cuda":
            speed["system/gpu_memory_megabytes"] = torch.cuda.max_memory_allocated(self.device) / 2**20
        return speed
