"""Tasks that the training benchmark runs in separate processes.

A separate process per system keeps memory figures apart and one system's caches from helping another.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ecclip.bench.listings import random_batch, write_shards
from ecclip.bench.measure import peak_bytes, reset_peak, resident_bytes, taking_turns
from ecclip.bench.training.ours import Ours, System
from ecclip.bench.training.sizes import Sizes
from ecclip.formats.snapshot import SHARDS
from ecclip.model import TowersConfig, build_towers
from ecclip.train import Batch, Loader, Trainer, keep_freed_memory, open_pairs

_FEW = 8  # pairs of the step before memory is measured
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt(3)
_SMALL = 65536  # bytes; smaller blocks stay with malloc: measured peaks then follow the tensors
Answer = TypeVar("Answer")


def in_own_process(task: Callable[..., Answer], sizes: Sizes, *arguments: object) -> Answer:
    """Return what a task of this file returns in a new process, which ends with it; its errors are raised here.

    The process is forked from one that has imported the libraries and done nothing else.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        return pool.submit(_start, task, sizes, *arguments).result()


def _start(task: Callable[..., Answer], sizes: Sizes, *arguments: object) -> Answer:
    logging.basicConfig(level=logging.ERROR, force=True)
    torch.set_num_threads(sizes.threads)
    return task(sizes, *arguments)


def speed(sizes: Sizes, peer: str) -> dict[str, dict[str, list[float]]]:
    """Return seconds per step by system and number of micro-batches; their steps are interleaved."""
    keep_freed_memory()  # for the peer too: its steps need it as much
    with tempfile.TemporaryDirectory() as folder:
        systems = [make_system(name, sizes, sizes.towers, Path(folder)) for name in ("ecclip", peer)]
        batch = random_batch(sizes.batch, build_towers(sizes.towers).preprocessor())
        for system in systems:
            system.use(batch)
        steps = {
            f"{system.name} {micro_batches}": _stepper(system, micro_batches)
            for micro_batches in sizes.micro_batches
            for system in systems
        }
        seconds = taking_turns(steps, sizes.repetitions, warm_up=2)
    return {s.name: {str(k): seconds[f"{s.name} {k}"] for k in sizes.micro_batches} for s in systems}


def peak(sizes: Sizes, system: str, micro_batches: int) -> int:
    """Return the bytes by which a step exceeds model, moments and batch: activations, gradients, logits."""
    return _peak(sizes, system, sizes.towers, sizes.batch, micro_batches)


def peak_of_batch(sizes: Sizes, batch: int) -> int:
    """Return the same for ecclip on the small towers, at any effective batch in micro-batches of one size."""
    return _peak(sizes, "ecclip", sizes.memory_towers, batch, batch // sizes.memory_micro_batch)


def loader(sizes: Sizes) -> dict[str, float]:
    """Return how long a real training waits for its loader, and how fast that decodes meanwhile."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder) / SHARDS, sizes.loader_pairs, photos=sizes.loader_pairs)
        pairs = open_pairs(Path(folder) / SHARDS, Path(folder) / "scratch")
        towers = build_towers(sizes.towers)
        trainer = Trainer(
            towers, pairs, towers.preprocessor(), sizes.trainer, Path(folder) / "steps", threads=sizes.threads
        )
        timed = TimedLoader(pairs, towers.preprocessor(), sizes.trainer.augment, 0, sizes.trainer.workers)
        trainer.loader = timed
        trainer.run()
        pairs.close()
    return timed.figures()


class TimedLoader(Loader):
    """A loader that measures its own time."""

    waited = total = busy = processor = 0.0
    pairs_made = batches_made = 0

    def batches(self, plan: Iterable[tuple[int, np.ndarray]]) -> Iterator[Batch]:
        """Yield the batches; what the consumer waits for each of them is summed."""
        started = time.perf_counter()
        made = super().batches(plan)
        try:
            while True:
                asked = time.perf_counter()
                batch = next(made, None)
                self.waited += time.perf_counter() - asked
                if batch is None:
                    return
                yield batch
        finally:  # the trainer takes what it has planned and asks no more
            self.total += time.perf_counter() - started

    def make(self, epoch: int, rows: np.ndarray) -> Batch:
        """Return a batch; seconds by the clock and of this thread's processor time are summed."""
        started, worked = time.perf_counter(), time.thread_time()
        batch = super().make(epoch, rows)
        self.busy += time.perf_counter() - started
        self.processor += time.thread_time() - worked
        self.pairs_made += len(rows)
        self.batches_made += 1
        return batch

    def figures(self) -> dict[str, float]:
        """Return the share of the time that was waiting, and pairs per second by both clocks."""
        return {
            "wait_share": self.waited / self.total,
            "pairs_per_second": self.pairs_made / self.total,
            "decoded_per_second": self.pairs_made / self.busy,
            "decoded_per_processor_second": self.pairs_made / self.processor,
            "batches": self.batches_made,
        }


def make_system(name: str, sizes: Sizes, towers: TowersConfig, folder: Path) -> System:
    """Return a system with towers of its own, frozen alike."""
    ours = Ours(build_towers(towers), sizes.optimizer, threads=sizes.threads)
    if name == "ecclip":
        return ours
    if name == "open_clip":
        from ecclip.bench.training.peer import OpenClip

        return OpenClip(ours.towers, sizes.optimizer, folder)
    from ecclip.bench.training.twin import Twin

    return Twin(ours.towers, sizes.optimizer)


def _peak(sizes: Sizes, system: str, cfg: TowersConfig, batch: int, micro_batches: int) -> int:
    _give_back_at_once()
    with tempfile.TemporaryDirectory() as folder:
        made = make_system(system, sizes, cfg, Path(folder))
        preprocessor = made.towers.preprocessor()
        few, many = random_batch(_FEW, preprocessor), random_batch(batch, preprocessor)
        made.use(few)
        made.step(1)  # brings in the moments and all code
        made.forget()
        made.use(many)
        loaded = resident_bytes()
        reset_peak()
        made.step(micro_batches)
        return peak_bytes() - loaded


def _give_back_at_once() -> None:
    """Make the C library return freed blocks to the system, so that the resident size is what is in use."""
    library = ctypes.CDLL(None)
    for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        library.mallopt(option, _SMALL)


def _stepper(system: System, micro_batches: int) -> Callable[[], None]:
    return lambda: system.step(micro_batches)
