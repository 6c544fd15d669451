"""How much ``ecclip bench serve`` measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        concurrency: how many clients wait for an answer at the same time, for each row.
        repetitions: of each load; the systems take turns.
        warm_s: of a load that do not count.
        measured_s: of a load that count.
        overload_s: how long questions arrive at three times the rate that the server sustains.
        watch_s: how long the server is watched afterwards.
        calls: of the leak check; a fifth as many go before, which load what is loaded once.
        changes: how often a version goes live and is rolled back under load.
        moves: of the alias; an even number, so that it ends where it began.
    """

    concurrency: tuple[int, ...]
    repetitions: int
    warm_s: float
    measured_s: float
    overload_s: float
    watch_s: float
    calls: int
    changes: int
    moves: int


SIZES = {
    "full": Sizes(
        concurrency=(1, 4, 16, 64),
        repetitions=3,
        warm_s=1.0,
        measured_s=5.0,
        overload_s=60.0,
        watch_s=15.0,
        calls=10_000,
        changes=5,
        moves=10,
    ),
    "quick": Sizes(
        concurrency=(1, 4),
        repetitions=1,
        warm_s=0.2,
        measured_s=1.0,
        overload_s=3.0,
        watch_s=5.0,
        calls=200,
        changes=1,
        moves=2,
    ),
}
