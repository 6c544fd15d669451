"""Both towers at once on a CPU: one thread per tower instead of two threads inside every operation.

An operation of a small network ends before a second thread can help. On two idle cores one thread per tower is as fast
as two threads per operation; next to a busy process, where each operation waits for its slower thread, it is more than
twice as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

from ecclip.model import Towers

_Image = TypeVar("_Image")
_Text = TypeVar("_Text")


class TowerExecutor(Protocol):
    """Runs the image tower's and the text tower's work and returns both results."""

    def __call__(self, image: Callable[[], _Image], text: Callable[[], _Text]) -> tuple[_Image, _Text]: ...


def run_sequentially(image: Callable[[], _Image], text: Callable[[], _Text]) -> tuple[_Image, _Text]:
    """Call one after the other."""
    return image(), text()


@contextmanager
def tower_executor(towers: Towers, threads: int) -> Iterator[TowerExecutor]:
    """Run the towers concurrently where that gives equal bits: on a CPU with threads for both, if at most one draws.

    Dropout takes its numbers from one generator of the process, so two towers that draw must do so in order.
    """
    if towers.logit_scale.device.type != "cpu" or threads < 2 or vision_draws(towers):
        yield run_sequentially
        return
    with ThreadPoolExecutor(2, "tower", initializer=torch.set_num_threads, initargs=(threads // 2,)) as pool:
        yield _ConcurrentExecutor(pool)


def vision_draws(towers: Towers) -> bool:
    """Return whether the image tower draws random numbers in training; of a text tower that is always assumed."""
    return towers.cfg.vision_dropout > 0 or towers.cfg.drop_path > 0


class _ConcurrentExecutor:
    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def __call__(self, image: Callable[[], _Image], text: Callable[[], _Text]) -> tuple[_Image, _Text]:
        image_result: Future[_Image] = self._pool.submit(image)
        text_result: Future[_Text] = self._pool.submit(text)
        for result in (image_result, text_result):
            result.exception()  # both must end before the error of one is raised
        return image_result.result(), text_result.result()
