"""Repetitions take turns; peaks are of the work in between."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ecclip.bench import measure

MIB = 2**20
_PEAK = """
import numpy as np
from ecclip.bench.measure import peak_bytes, reset_peak, resident_bytes
before = resident_bytes()
reset_peak()
np.ones(64 << 20, dtype=np.uint8).sum()
print(peak_bytes() - before)
reset_peak()
print(peak_bytes() - before)
"""


def test_every_step_is_called_in_every_repetition_and_the_order_turns_round() -> None:
    calls: list[str] = []
    steps = {name: lambda name=name: calls.append(name) for name in ("first", "second")}
    seconds = measure.taking_turns(steps, 3)
    assert calls == ["first", "second", "first", "second", "second", "first", "first", "second"]
    assert {name: len(values) for name, values in seconds.items()} == {"first": 3, "second": 3}


def test_the_seconds_of_a_step_are_those_that_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    steps = {"slow": lambda: clock.append(clock.pop() + 3.0), "fast": lambda: clock.append(clock.pop() + 0.25)}
    assert measure.taking_turns(steps, 2, warm_up=0) == {"slow": [3.0, 3.0], "fast": [0.25, 0.25]}


def test_a_peak_is_seen_after_the_memory_is_given_back_and_can_be_forgotten() -> None:
    # in a separate process: what other tests freed may be used again, and then no peak is seen
    done = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True)
    seen, forgotten = (int(line) for line in done.stdout.split())
    assert seen > 60 * MIB
    assert forgotten < 30 * MIB
