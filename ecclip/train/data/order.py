"""Which pairs form which batch: a pure function of (seed, epoch, step)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ecclip.train.config import SamplerConfig

_ORDER_STREAM = 1  # keeps its random numbers apart from other uses of the seed


def plan_training(
    groups: np.ndarray, categories: np.ndarray, cfg: SamplerConfig, seed: int, epochs: int
) -> list[tuple[int, np.ndarray]]:
    """Return every step of a training as (epoch, rows); a pure function of its arguments.

    With ``cfg.first_batch_size`` the batches grow: they double, at even shares of the pairs of all epochs, until
    they have ``cfg.batch_size`` after ``cfg.ramp_share`` of them.

    Args:
        groups: int64 [N], the product that a row shows.
        categories: int64 [N], rows of one value are hard negatives of each other.
        cfg: size and composition of the batches.
        seed: of the training.
        epochs: passes over the rows.
    """
    plan: list[tuple[int, np.ndarray]] = []
    for epoch in range(epochs):
        sizes = _sizes(cfg, len(groups), epoch, epochs)
        plan += [(epoch, rows) for rows in plan_epoch(groups, categories, cfg, seed, epoch, sizes)]
    return plan


def plan_epoch(
    groups: np.ndarray,
    categories: np.ndarray,
    cfg: SamplerConfig,
    seed: int,
    epoch: int,
    sizes: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """Return the batches of an epoch, row numbers int64 [size] each; ``sizes`` is ``batch_size`` as often as it fits.

    Rows that do not fill a batch, or whose group is in every batch already, are left out of this epoch; which ones
    differs from epoch to epoch.
    """
    chance = np.random.default_rng([seed, epoch, _ORDER_STREAM])
    sizes = _even(cfg.batch_size, len(groups)) if sizes is None else sizes
    if not sizes:
        return []
    rows = np.concatenate(_units(categories, cfg, chance))
    if not cfg.distinct_groups:
        return np.split(rows, np.cumsum(sizes))[:-1]
    placed = zip(_place(rows, groups, sizes), sizes, strict=True)
    return [np.asarray(batch, dtype=np.int64) for batch, size in placed if len(batch) == size]


def _even(size: int, count: int) -> list[int]:
    size = min(size, count)
    return [size] * (count // size) if size >= 2 else []


def _sizes(cfg: SamplerConfig, count: int, epoch: int, epochs: int) -> list[int]:
    """Return the sizes of an epoch's batches."""
    if cfg.first_batch_size is None:
        return _even(cfg.batch_size, count)
    doublings = math.ceil(math.log2(cfg.batch_size / cfg.first_batch_size))
    sizes: list[int] = []
    seen = epoch * count
    end = seen + count
    while True:
        stage = int(seen / (cfg.ramp_share * epochs * count) * doublings) if doublings else 0
        size = min(cfg.batch_size, cfg.first_batch_size * 2 ** min(stage, doublings), count)
        if seen + size > end or size < 2:
            return sizes
        sizes.append(size)
        seen += size


def _units(categories: np.ndarray, cfg: SamplerConfig, chance: np.random.Generator) -> list[np.ndarray]:
    """Return single rows and clusters of one category, shuffled."""
    rows = chance.permutation(len(categories))
    clustered = int(cfg.hard_negative_share * len(rows))
    chosen, singles = rows[:clustered], rows[clustered:]
    chosen = chosen[np.argsort(categories[chosen], kind="stable")]
    borders = np.flatnonzero(np.diff(categories[chosen])) + 1
    clusters = [
        part[start : start + cfg.cluster_size]
        for part in np.split(chosen, borders)
        for start in range(0, len(part), cfg.cluster_size)
    ]
    units = [*clusters, *singles[:, None]]
    return [units[position] for position in chance.permutation(len(units))]


def _place(rows: np.ndarray, groups: np.ndarray, sizes: Sequence[int]) -> list[list[int]]:
    """Put every row into the first batch that has room and does not have its group yet (first fit)."""
    batches: list[list[int]] = [[] for _ in sizes]
    taken: list[set[int]] = [set() for _ in sizes]
    first_open = 0
    for row in rows.tolist():
        group = int(groups[row])
        for number in range(first_open, len(sizes)):
            if len(batches[number]) < sizes[number] and group not in taken[number]:
                batches[number].append(row)
                taken[number].add(group)
                break
        while first_open < len(sizes) and len(batches[first_open]) == sizes[first_open]:
            first_open += 1
    return batches
