"""What a step frees, the next one takes without the system's help."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.heavy

_STEPS = """
import resource, sys
import numpy
from ecclip.train import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept = [numpy.ones(size, dtype=numpy.uint8) for size in (48 << 20, 80 << 20)]
    del kept
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(mode: str) -> int:
    answer = subprocess.run([sys.executable, "-c", _STEPS, mode], capture_output=True, text=True, check=True)
    return int(answer.stdout)


def test_large_blocks_come_back_without_page_faults() -> None:
    assert 10 * _faults("keep") < _faults("plain")  # or the C library has learnt it, and the setting can go
