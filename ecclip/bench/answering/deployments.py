"""A version goes live and is rolled back again and again under load: what fails, how soon the old one answers."""

from __future__ import annotations

import time

from ecclip.bench.answering.generator import Fates, Running
from ecclip.bench.answering.scene import Scene
from ecclip.bench.answering.sizes import Sizes
from ecclip.bench.result import Result
from ecclip.core import digest_of
from ecclip.errors import ResultError
from ecclip.formats.bundle import lineage_of

_CLIENTS = 4  # at which both cores are busy; by judgment
_SYSTEM = "ecclip"
_SETTLE_S = 1.0  # of answers by the version that has just gone live


def measure_deployments(result: Result, scene: Scene, sizes: Sizes) -> None:
    """Enter failed requests, and the seconds from a change to the last answer of the version before."""
    old, new = (lineage_of(digest_of(bundle)) for bundle in scene.bundles)
    running = Running(scene.load(concurrency=_CLIENTS))
    forward, back = [], []
    try:
        running.await_first()
        scene.bless(2)
        for _ in range(sizes.changes):
            forward.append(time.monotonic())
            scene.deployment.go_live(2)
            time.sleep(_SETTLE_S)
            back.append(time.monotonic())
            scene.deployment.roll_back(1)
            time.sleep(_SETTLE_S)
    finally:
        fates = running.finish()
    until_new = [_last_answer(fates, old, start, stop) - start for start, stop in zip(forward, back, strict=True)]
    stops = [*forward[1:], fates.last]
    until_old = [_last_answer(fates, new, start, stop) - start for start, stop in zip(back, stops, strict=True)]
    what = f"{_CLIENTS} clients, blessed, live and rolled back under load"
    result.add(f"{what}: requests", _SYSTEM, "requests", [len(fates.questions)])
    failed = result.add(f"{what}: failed requests, none asked again", _SYSTEM, "requests", [fates.failed().total()])
    result.add(f"{what}: from the call to the last answer of the old version", _SYSTEM, "s", until_new)
    rollback = result.add(f"{what}: from the rollback to the last answer of the new one", _SYSTEM, "s", until_old)
    result.head(hot_deploy_failed_requests=failed, rollback_seconds=rollback)


def _last_answer(fates: Fates, lineage: str, start: float, stop: float) -> float:
    """Return when the last answer of a version came between two moments.

    Raises:
        ResultError: none came, so that nothing was changed under load.
    """
    moments = [one.ended for one in fates.questions if start <= one.ended < stop and one.outcome == lineage]
    if not moments:
        raise ResultError("no answer of the version that was live", value=lineage, next_step="run the benchmark again")
    return max(moments)
