"""Questions at three times the rate that the server sustains: how many are answered, and how soon all is as before."""

from __future__ import annotations

import numpy as np

from ecclip.bench.answering.generator import Question, generate
from ecclip.bench.answering.scene import Scene, answered
from ecclip.bench.answering.sizes import Sizes
from ecclip.bench.result import Result

FACTOR = 3  # of the largest rate; by judgment: a day's peak beside which everything else still arrives
_PATIENCE = 2.0  # an answer is as before when it takes at most twice what 95 % took before; by judgment
_IN_A_ROW = 5  # such answers are no accident; by judgment
_SYSTEM = "ecclip"


def measure_overload(result: Result, scene: Scene, sizes: Sizes, peak: float | None) -> None:
    """Enter goodput, explicit rejections, what else failed, and the seconds to recovery; ``peak`` if it is known."""
    before = _calm(scene, sizes)
    peak = peak or _peak(scene, sizes)
    rate, lasts = FACTOR * peak, sizes.overload_s
    fates = generate(scene.load(kind="open", rate=rate, seconds=lasts, after_s=sizes.watch_s))
    goodput = len(fates.seconds(fates.first, fates.first + lasts)) / lasts
    failed = fates.failed()
    rejected = failed.pop("overloaded", 0)
    what = f"{FACTOR} times the largest rate for {lasts:g} s"
    result.add(f"{what}: questions asked", _SYSTEM, "1/s", [len(fates.questions) / (fates.last - fates.first)])
    result.add(f"{what}: answered", _SYSTEM, "1/s", [goodput])
    result.add(f"{what}: answered, of the largest rate", _SYSTEM, "share", [goodput / peak])
    result.add(f"{what}: refused because the queue is full", _SYSTEM, "share", [rejected / len(fates.questions)])
    result.add(f"{what}: neither answered nor refused so", _SYSTEM, "questions", [failed.total()])
    recovered = recovery(fates.last, fates.alone, _PATIENCE * before)
    until = "until answers come as before" if recovered else "watched, and answers did not come as before"
    seconds = recovered or fates.alone[-1].ended - fates.last
    result.add(f"{what}: {until}", _SYSTEM, "s", [seconds])
    result.head(goodput_share_at_3x=goodput / peak, recovery_seconds=seconds)


def recovery(last: float, alone: list[Question], limit_s: float) -> float | None:
    """Return the seconds from the last question of an overload to the first of some answers within ``limit_s``.

    ``alone`` are the questions of the single client that asked afterwards. None if they never came as before.
    """
    good = [one.is_answered and one.seconds <= limit_s for one in alone]
    for place in range(len(good) - _IN_A_ROW + 1):
        if all(good[place : place + _IN_A_ROW]):
            return alone[place].ended - last
    return None


def _calm(scene: Scene, sizes: Sizes) -> float:
    """Return the seconds within which 95 % of the answers to a single client come."""
    fates = answered(scene.load(seconds=sizes.warm_s + sizes.measured_s))
    start = fates.first + sizes.warm_s
    return float(np.percentile(fates.seconds(start, start + sizes.measured_s), 95))


def _peak(scene: Scene, sizes: Sizes) -> float:
    """Return listings per second of the largest number of clients."""
    fates = answered(scene.load(concurrency=max(sizes.concurrency), seconds=sizes.warm_s + sizes.measured_s))
    start = fates.first + sizes.warm_s
    return len(fates.seconds(start, start + sizes.measured_s)) / sizes.measured_s
