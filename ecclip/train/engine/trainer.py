"""The training loop: exact batches, killable at any step, equal bits whether or not it was killed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecclip.errors import DivergedError, PairsError, Preempted, ProcessesError
from ecclip.model import MAX_LOGIT_SCALE, Preprocessor, Towers
from ecclip.train.config import TrainerConfig
from ecclip.train.data.loader import Loader
from ecclip.train.data.order import plan_training
from ecclip.train.data.pairs import Pairs
from ecclip.train.distributed.world import SINGLE_PROCESS, World
from ecclip.train.engine.accumulation import Batch, accumulate_gradients
from ecclip.train.engine.budget import Budget, within_memory
from ecclip.train.engine.checkpoint import Checkpoint, CheckpointStore
from ecclip.train.engine.execution import prepare_execution
from ecclip.train.engine.loss_scale import INITIAL_LOSS_SCALE, next_loss_scale
from ecclip.train.engine.measures import Tracker
from ecclip.train.engine.optimizer import Optimizer
from ecclip.train.engine.process import catch_termination, deterministic
from ecclip.train.engine.progress import Progress, Reporter, log_nothing, log_to_logging
from ecclip.train.engine.tower_executor import TowerExecutor, tower_executor
from ecclip.train.weights.averaging import Average
from ecclip.train.weights.interpolation import Interpolation
from ecclip.train.weights.photo_size import choose_photo_size

_DROPOUT_STREAM = 3  # keeps its random numbers apart from other uses of the seed
_LOG_EVERY = 10  # steps
Validate = Callable[[Towers], dict[str, float]]


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
        probe: measures by which the share of the initial weights is chosen, each the higher the better.
        timing: file that gets throughput, one JSON object per line; no result depends on it.
        tracker: gets every metric as soon as it is measured, speed included; no result depends on it.
        log: called with an event and named values.
        certainty: float32 [N], how sure it is that a pair belongs to its group; None: certain.
        world: the processes that train together; each is given equal arguments and computes its rows of a batch. The
            first one validates, logs and writes; all see the folder.
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
        probe: Validate | None = None,
        timing: Path | None = None,
        tracker: Tracker | None = None,
        log: Callable[..., None] = log_to_logging,
        certainty: np.ndarray | None = None,
        world: World = SINGLE_PROCESS,
    ) -> None:
        self.towers, self.pairs, self.cfg, self.world, self.threads = towers, pairs, cfg, world, threads
        self.device = towers.logit_scale.device
        is_first = world.is_first
        self._validate = validate if is_first else None
        self._log = log if is_first else log_nothing
        self._reporter = Reporter(self.device, tracker if is_first else None, timing if is_first else None)
        # SigLIP was pretrained without a limit: a start that is above it stays where it is
        self._max_logit_scale = max(MAX_LOGIT_SCALE, float(towers.logit_scale.detach()))
        self._aside = 0.0
        if cfg.loss == "sigmoid":
            towers.add_logit_bias()
        size = cfg.image_size or towers.cfg.image_size
        self.loader = Loader(pairs, preprocessor, cfg.augment, cfg.seed, cfg.workers, certainty, image_size=size)
        self.plan = self._plan()
        self._full_batch = max(len(rows) for _, rows in self.plan)
        prepare_execution(towers, cfg)
        self.optimizer = Optimizer(towers, cfg.optimizer, len(self.plan))
        self._probe = probe
        self._interpolation = Interpolation(self.optimizer.parameters)
        self._average = Average(self.optimizer.parameters, cfg.average_decay)
        self.store = CheckpointStore(folder, cfg.keep_checkpoints, self._log, is_owner=is_first)

    def run(self) -> Progress:
        """Train to the end, from the newest good checkpoint if there is one, and return what was measured.

        Raises:
            Preempted: SIGTERM came; a checkpoint is written.
            CheckpointError: a checkpoint cannot be written.
            DivergedError: too many steps in a row were not finite.
            OutOfMemoryError: not even one pair at a time fits into the memory.
        """
        with (
            deterministic(self.threads, self.device),
            # activations that are computed again set the generators, which both towers share
            tower_executor(self.towers, 1 if self.cfg.gradient_checkpointing else self.threads) as executor,
            catch_termination() as termination,
        ):
            progress = self._resume() or self._begin()
            self.world.copy_from_first(self.towers.state_dict().values())
            self._learning_curve(progress)
            for batch in self._batches(progress):
                budget = progress.budget
                self._step(progress, batch, executor)
                self._reporter.publish(progress)
                if self.world.any(termination.requested):
                    self._save(progress)
                    self._log("training stops after SIGTERM", step=progress.step)
                    raise Preempted(progress.step)
                self._learning_curve(progress)
                # Repeating this step could find more memory and cut other micro-batches, so it is saved at once.
                is_due = progress.step % self.cfg.checkpoint_every == 0 or progress.budget != budget
                if is_due and progress.step < len(self.plan):
                    self._save(progress)
            self.towers.train(False)
            self._average.apply()
            self._interpolate_with_start(progress)
            self._choose_photo_size(progress)
            # a name has every step once, and one that stopped early has been measured after its last step already
            progress.add(len(self.plan), **self._measure())
            self._reporter.publish(progress)
        return progress

    def _plan(self) -> list[tuple[int, np.ndarray]]:
        sampler, seed = self.cfg.sampler, self.cfg.seed
        plan = plan_training(self.pairs.groups, self.pairs.categories, sampler, seed, self.cfg.epochs)
        if not plan:
            groups = len(np.unique(self.pairs.groups))
            what = "the pairs do not fill a single batch"
            raise PairsError(
                what,
                value=f"{len(self.pairs)} pairs of {groups} groups",
                limit=f"{sampler.batch_size} a batch",
                next_step="lower train.trainer.sampler.batch_size, or train on more listings",
            )
        smallest = min(len(rows) for _, rows in plan)
        if smallest < self.world.size:
            raise ProcessesError(
                "a batch has fewer pairs than there are processes",
                value=smallest,
                limit=self.world.size,
                next_step="start fewer processes (ECCLIP_TRAIN_PROCESSES), or raise train.trainer.sampler.batch_size",
            )
        return plan

    def _interpolate_with_start(self, progress: Progress) -> None:
        """Move the networks back towards where they started, by the share that is best on validation."""
        probe = self._probe
        asked = None if probe is None else lambda: probe(self.towers)
        share, scores = self._interpolation.choose(self.cfg.shares, asked, self.world)
        found = {"share": share} | {f"score_at_{one}": score for one, score in scores.items()}
        progress.add(len(self.plan), **{f"interpolation/{name}": value for name, value in found.items()})
        self._log("networks interpolated with their start", share=share, scores=scores)

    def _choose_photo_size(self, progress: Progress) -> None:
        """Leave the towers at the photo size that is best on validation."""
        probe = self._probe
        asked = None if probe is None else lambda: probe(self.towers)
        scores = choose_photo_size(self.towers, self.cfg.photo_scales, asked, self.world)
        if scores:
            found = {"size": self.towers.photo_size} | {f"score_at_{one}": score for one, score in scores.items()}
            progress.add(len(self.plan), **{f"photos/{name}": float(value) for name, value in found.items()})
            self._log("size of photos chosen", size=self.towers.photo_size, scores=scores)

    def _begin(self) -> Progress:
        progress = Progress(micro_batch_size=self.cfg.micro_batch_size, micro_batch_tokens=self.cfg.micro_batch_tokens)
        if self.cfg.precision == "float16":
            progress.loss_scale = INITIAL_LOSS_SCALE
        progress.add(0, **self._measure())
        return progress

    def _learning_curve(self, progress: Progress) -> None:
        """Measure the held-out listings if that is due after this step; a resumed run catches up."""
        step, every = progress.step, self.cfg.validate_every
        inside = 0 < step < len(self.plan)
        due = inside and (step % every == 0 if every else self.plan[step][0] != self.plan[step - 1][0])
        if due and progress.validated != step:
            started = time.perf_counter()
            self.towers.train(False)
            measured = self._measure()
            progress.add(step, **measured)
            progress.judge(measured)
            self.towers.train(True)
            progress.validated = step
            self._aside += time.perf_counter() - started
        self._reporter.publish(progress)

    def _has_stopped_improving(self, progress: Progress) -> bool:
        patience = self.cfg.patience
        if patience is None or not self.world.any(progress.stale >= patience):
            return False
        self._log("training stops: validation does not improve", step=progress.step, of=len(self.plan))
        return True

    def _measure(self) -> dict[str, float]:
        return self._validate(self.towers) if self._validate else {}

    def _resume(self) -> Progress | None:
        checkpoint = self._newest()
        if checkpoint is None:
            return None
        own = self.towers.state_dict()
        self.towers.load_state_dict({name: checkpoint.tensors[f"towers.{name}"] for name in own})
        prefix = "optimizer."
        moments = {k.removeprefix(prefix): v for k, v in checkpoint.tensors.items() if k.startswith(prefix)}
        self.optimizer.load(moments)
        self._average.load(checkpoint.tensors)
        self._log("training resumes", step=checkpoint.step, of=len(self.plan))
        state = checkpoint.state
        return Progress(**{**state, "metrics": [(int(s), str(n), float(v)) for s, n, v in state["metrics"]]})

    def _newest(self) -> Checkpoint | None:
        """Return the checkpoint that the first process chose."""
        newest = self.store.newest() if self.world.is_first else None
        step = self.world.from_first(-1 if newest is None else newest.step)
        return newest if self.world.is_first or step < 0 else self.store.at(step)

    def _save(self, progress: Progress) -> None:
        if self.world.is_first:
            self._write(progress)
        self.world.any(False)  # no process continues or exits before the checkpoint is written

    def _write(self, progress: Progress) -> None:
        towers = {f"towers.{name}": tensor for name, tensor in self.towers.state_dict().items()}
        moments = {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        self.store.save(progress.step, {**towers, **moments, **self._average.state()}, vars(progress))

    def _batches(self, progress: Progress) -> Iterator[Batch]:
        """Yield the batches that are left and report their speed, not counting measurements in between."""
        self.towers.train(True)
        first = progress.step
        plan = self.plan[first:]
        batches = self.loader.batches((epoch, rows[self.world.rows(len(rows))]) for epoch, rows in plan)
        for step, (_, rows) in enumerate(plan, start=first + 1):
            if self._has_stopped_improving(progress):
                return
            asked, self._aside = time.perf_counter(), 0.0
            batch = next(batches)
            wait = time.perf_counter() - asked
            yield batch.to(self.device)
            seconds = time.perf_counter() - asked - self._aside
            self._reporter.time(step, len(rows), wait=wait, seconds=seconds)

    def _step(self, progress: Progress, batch: Batch, executor: TowerExecutor) -> None:
        step = progress.step
        progress.step = step + 1
        loss = float(self._gradients(progress, batch, executor))
        norms = self.optimizer.norms()
        values = {"train/loss": loss, "train/gradient_norm": float(self.optimizer.clip())}
        is_finite = not self.world.any(not all(math.isfinite(value) for value in values.values()))
        if is_finite:
            self.optimizer.step(step, len(self.plan[step][1]) / self._full_batch)
            self._average.update(step + 1)
            with torch.no_grad():
                self.towers.logit_scale.clamp_(max=self._max_logit_scale)
            progress.skipped_in_a_row = 0
            scale = {"train/logit_scale": float(self.towers.logit_scale.detach().exp())}
            progress.add(step + 1, **values, **scale, **norms, **self.optimizer.rates())
        elif progress.loss_scale > 1.0 and math.isfinite(loss):
            progress.add(step + 1, train__overflow=1.0, train__loss_scale=progress.loss_scale)
        else:
            self._skip(progress, values)
        if self.cfg.precision == "float16":
            state = next_loss_scale(progress.loss_scale, progress.steps_since_overflow, is_finite)
            progress.loss_scale, progress.steps_since_overflow = state
        self.optimizer.clear()
        if progress.step % _LOG_EVERY == 0 or progress.step == len(self.plan):
            self._log("training", step=progress.step, of=len(self.plan), loss=round(values["train/loss"], 4))

    def _gradients(self, progress: Progress, batch: Batch, executor: TowerExecutor) -> Tensor:
        """Leave the gradients in the parameters and return the loss; the budget shrinks until the memory suffices."""

        def work(budget: Budget) -> Tensor:
            return accumulate_gradients(
                self.towers,
                batch,
                micro_batch_size=budget.images,
                micro_batch_tokens=budget.tokens,
                loss=self.cfg.loss,
                labels=self.cfg.labels,
                seed=(self.cfg.seed, progress.step - 1, _DROPOUT_STREAM),
                precision=self.cfg.precision,
                loss_scale=progress.loss_scale,
                world=self.world,
                executor=executor,
            )

        def on_halved(budget: Budget) -> None:
            progress.budget = budget
            limits = {"micro_batch_size": budget.images, "micro_batch_tokens": budget.tokens}
            self._log("out of memory, the step is tried again in smaller micro-batches", step=progress.step, **limits)
            values = {"train/out_of_memory": 1.0, "train/micro_batch_size": float(budget.images)}
            progress.add(progress.step, **values)

        most_rows = -(-len(self.plan[progress.step - 1][1]) // self.world.size)
        return within_memory(work, progress.budget, most_rows, on_halved)

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
                next_step="inspect the batches named in the log, or lower the learning rates",
            )
