"""Which pairs form which batch: a pure function of (seed, epoch, step)."""

from __future__ import annotations

import numpy as np

from ecclip.train._config import OrderConfig

_STREAM_OF_ORDER = 1


def plan_epoch(groups: np.ndarray, categories: np.ndarray, cfg: OrderConfig, seed: int, epoch: int) -> list[np.ndarray]:
    """Return the batches of an epoch, row numbers int64 [batch_size] each.

    Rows that do not fill a batch, or whose group is in every batch already, rest for this epoch; which ones
    differs from epoch to epoch.

    Args:
        groups: int64 [N], the product that a row shows.
        categories: int64 [N], rows of one value are hard negatives of each other.
        cfg: size and composition of the batches.
        seed: of the training.
        epoch: number of the pass, from 0.
    """
    chance = np.random.default_rng([seed, epoch, _STREAM_OF_ORDER])
    size = min(cfg.batch_size, len(groups))
    if size < 2:
        return []
    rows = np.concatenate(_units(categories, cfg, chance))
    batches = _place(rows, groups, size) if cfg.distinct_groups else np.array_split(rows, range(size, len(rows), size))
    return [np.asarray(batch, dtype=np.int64) for batch in batches if len(batch) == size]


def _units(categories: np.ndarray, cfg: OrderConfig, chance: np.random.Generator) -> list[np.ndarray]:
    """Return single rows and clusters of one category, shuffled."""
    rows = chance.permutation(len(categories))
    clustered = int(cfg.neighbour_share * len(rows))
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


def _place(rows: np.ndarray, groups: np.ndarray, size: int) -> list[list[int]]:
    """Put every row into the first batch that has room and not yet its group."""
    count = len(rows) // size
    batches: list[list[int]] = [[] for _ in range(count)]
    taken: list[set[int]] = [set() for _ in range(count)]
    first_open = 0
    for row in rows.tolist():
        group = int(groups[row])
        for number in range(first_open, count):
            if len(batches[number]) < size and group not in taken[number]:
                batches[number].append(row)
                taken[number].add(group)
                break
        while first_open < count and len(batches[first_open]) == size:
            first_open += 1
    return batches
