"""Nights of the sample through the real stages, in their own workspace: the time and memory of each stage."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ecclip.catalog.group.stage import GroupConfig, group
from ecclip.core import Report, settings
from ecclip.pipeline import run_stage, stages_of
from ecclip.sample import SampleConfig, generate

STAGES = stages_of("nightly_catalog", room="catalog")


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """Make ``folder`` the workspace of this process; its ``work/`` is yielded."""
    before = os.environ.get("ECCLIP_WORKSPACE")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text("{}\n", encoding="utf-8")
    os.environ["ECCLIP_WORKSPACE"] = str(folder)
    settings.cache_clear()
    try:
        yield settings().work
    finally:
        os.environ.pop("ECCLIP_WORKSPACE")
        if before is not None:
            os.environ["ECCLIP_WORKSPACE"] = before
        settings.cache_clear()


def sample_nights(work: Path, cfg: SampleConfig) -> list[dict[str, Report]]:
    """Make the dumps, run the catalog's stages for each night in turn, and return their reports.

    There is no champion: no photo is compared with its title.
    """
    reports = []
    for dump in generate(cfg, work):
        pairs = work / "nights" / dump.name / "pairs"
        pairs.mkdir(parents=True, exist_ok=True)
        (pairs / "EMPTY").touch()
        reports.append({name: run_stage(name, dump.name) for name in STAGES})
    return reports


def group_once(cleaned: Path, output: Path) -> tuple[float, int]:
    """Group the listings of a cleaned folder as a first night; return seconds and bytes of memory at the peak.

    The memory is that of this process and of its Java process together, each at its own peak.
    """
    none = output.parent / "none"
    none.mkdir(exist_ok=True)
    (none / "EMPTY").touch()
    started = time.perf_counter()
    group(GroupConfig.model_validate({}), cleaned, none, output)
    seconds = time.perf_counter() - started
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return seconds, sum(_peak(process) for process in processes)


def _peak(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0  # a worker that has ended meanwhile
    found = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(found[0]) * 1024 if found else 0
