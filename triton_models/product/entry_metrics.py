"""What the entry model counts, as metrics of the server that Prometheus reads.

Counts are kept here and handed to the server once a second by a thread: every hand-over is a message to the server's
process, and a question that waited for a dozen of them would notice.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import triton_python_backend_utils as pb_utils

# name -> labels beside model and version, and meaning; docs/service.md has the same table
FAMILIES = {
    "ecclip_listings_total": ((), "Listings that were asked about"),
    "ecclip_batches_total": ((), "Calls of the entry model, each with the listings of one or more requests"),
    "ecclip_errors_total": (("reason",), "Listings that were answered with an error"),
    "ecclip_decisions_total": (("task", "decision"), "Decisions by task: auto, review, unknown"),
    "ecclip_step_seconds_total": (("step",), "Seconds of a batch: preprocess, towers, heads, decide, respond"),
}
_EVERY_S = 1.0  # Prometheus reads every few seconds


class EntryMetrics:
    """Counters of one version of the entry model; its processes on a server add to the same ones."""

    def __init__(self, model: str, version: str) -> None:
        self._own = {"model": model, "version": version}
        self._families = {
            name: pb_utils.MetricFamily(name=name, description=meaning, kind=pb_utils.MetricFamily.COUNTER)
            for name, (_, meaning) in FAMILIES.items()
        }
        self._metrics: dict[tuple[str, ...], Any] = {}
        self._waiting: Counter[tuple[str, ...]] = Counter()
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="metrics", daemon=True)
        self._thread.start()

    def add(self, name: str, *labels: str, value: float = 1.0) -> None:
        """Add to a counter; ``labels`` are the values of its own labels in order."""
        with self._lock:
            self._waiting[name, *labels] += value  # type: ignore[assignment]

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the seconds of the block to those of a step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add("ecclip_step_seconds_total", step, value=time.perf_counter() - started)

    def close(self) -> None:
        """Hand over what is left."""
        self._closed.set()
        self._thread.join()
        self._metrics.clear()  # before their families
        self._families.clear()

    def _deliver(self) -> None:
        while not self._closed.wait(_EVERY_S):
            self._hand_over()
        self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, Counter()
        for key, value in waiting.items():
            if key not in self._metrics:
                name, *given = key
                labels = self._own | dict(zip(FAMILIES[name][0], given, strict=True))
                self._metrics[key] = self._families[name].Metric(labels=labels)
            self._metrics[key].increment(value)
