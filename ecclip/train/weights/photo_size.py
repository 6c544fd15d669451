"""At which size photos are embedded and served: a network reads larger ones than it was trained on (FixRes).

Touvron et al. 2019, Fixing the train-test resolution discrepancy: objects look larger in training's random crops than
in whole photos, so that larger photos suit a trained network better; and training on small ones is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ecclip.model import Towers
from ecclip.train.distributed.world import World

LEAST_GAIN = 0.005  # of the probe's mean: a larger photo costs its area with every answer; by judgment
_STEP = 32  # sizes are multiples of it, as the strides of usual networks are


def choose_photo_size(
    towers: Towers, scales: Sequence[float], probe: Callable[[], dict[str, float]] | None, world: World
) -> dict[int, float]:
    """Leave the towers at the photo size that is best by the mean of what ``probe`` measures.

    A larger size is taken where it gains :data:`LEAST_GAIN` over the best smaller one. Towers keep the size that they
    have where there is no choice: without scales, with a network that takes pictures of one size, or where nothing can
    be measured.

    Args:
        towers: their ``photo_size`` is set.
        scales: factors on the size that they are trained at.
        probe: measures the towers as they stand, each value the higher the better; the first process alone asks.
        world: the processes that train together.

    Returns:
        The mean by size of what was measured.
    """
    present, scores = towers.photo_size, dict[int, float]()
    if world.is_first and probe is not None:
        for size in _sizes(towers, scales):
            towers.photo_size = size
            cells = probe()
            if cells:
                scores[size] = sum(cells.values()) / len(cells)
    towers.photo_size = world.from_first(_best(scores) if scores else present)
    return scores


def _sizes(towers: Towers, scales: Sequence[float]) -> list[int]:
    trained = towers.cfg.image_size
    if towers.image_encoder.has_one_size:
        return []
    return sorted({trained if scale == 1 else max(1, round(scale * trained / _STEP)) * _STEP for scale in scales})


def _best(scores: Mapping[int, float]) -> int:
    best, *larger = sorted(scores)
    for size in larger:
        if scores[size] >= scores[best] + LEAST_GAIN:
            best = size
    return best
