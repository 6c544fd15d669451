"""What a step frees, the next one takes without the system's help."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
from training_faults import run_child

from ecclip.train import keep_freed_memory

MIB = 1 << 20


def _count(path: Path) -> None:
    """Write how many pages two large blocks cost that follow others of their sizes, before and after the setting."""
    plain = _page_faults()
    assert keep_freed_memory()
    path.write_text(json.dumps({"plain": plain, "kept": _page_faults()}))


def _page_faults() -> int:
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        kept = [np.ones(size, dtype=np.uint8) for size in (48 * MIB, 80 * MIB)]
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_large_blocks_come_back_without_page_faults(tmp_path: Path) -> None:
    assert run_child(_count, tmp_path / "faults.json") == 0
    faults = json.loads((tmp_path / "faults.json").read_text())
    assert 10 * faults["kept"] < faults["plain"]  # or the C library has learnt it, and the setting can go
