"""Many questions of clients that give up, come and go: what the server's processes hold before and after."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psutil

from ecclip.bench.answering.generator import generate
from ecclip.bench.answering.scene import Scene, answered
from ecclip.bench.answering.sizes import Sizes
from ecclip.bench.result import Result
from ecclip.core import ServiceError

_CLIENTS = 8  # by judgment
_WARM_UP = 5  # one in so many of the calls comes before
_SYSTEM, _MIB = "ecclip", 2**20


@dataclass(frozen=True)
class Held:
    """What a server and its children hold together: resident bytes, open files and threads."""

    resident: int
    files: int
    threads: int


def held_by(scene: Scene) -> Held:
    """Return what the server's processes hold now.

    Raises:
        ServiceError: it does not run.
    """
    service = scene.server.attach()
    if service is None:
        raise ServiceError("the server died", value=scene.server.log, next_step="see its log")
    leader = psutil.Process(service.pid)
    resident = files = threads = 0
    for process in (leader, *leader.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            resident += process.memory_info().rss
            files += process.num_fds()
            threads += process.num_threads()
    return Held(resident, files, threads)


def measure_leaks(result: Result, scene: Scene, sizes: Sizes) -> None:
    """Enter growth of memory, open files and threads over the calls."""
    _churn(scene, sizes.calls // _WARM_UP)
    before = held_by(scene)
    _churn(scene, sizes.calls)
    after = held_by(scene)
    what = f"after {sizes.calls:,} calls, one in ten given up, one in 25 on a new connection"
    growth = after.resident / before.resident - 1
    result.add(f"{what}: resident memory", _SYSTEM, "MiB", [after.resident / _MIB])
    result.add(f"{what}: growth of resident memory", _SYSTEM, "share", [growth])
    result.add(f"{what}: more open files", _SYSTEM, "files", [after.files - before.files])
    result.add(f"{what}: more threads", _SYSTEM, "threads", [after.threads - before.threads])
    result.head(leak_rss_growth=growth)


def _churn(scene: Scene, calls: int) -> None:
    """Ask, and wait until what was given up is off the server: then it answers a single client."""
    generate(scene.load(kind="churn", calls=calls, concurrency=_CLIENTS))
    answered(scene.load(seconds=0.5))
