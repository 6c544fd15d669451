"""Which pairs form which batch: a pure function of (seed, epoch, step)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ecclip.train.config import SamplerConfig
from ecclip.train.data.placing import place

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

    Listings of one group come together on purpose, up to ``group_share`` of all rows; where ``distinct_groups`` is on,
    they meet in no other way. Rows that do not fill a batch, or whose group is in every batch already, are left out of
    this epoch; which ones differs from epoch to epoch.
    """
    chance = np.random.default_rng([seed, epoch, _ORDER_STREAM])
    sizes = _even(cfg.batch_size, len(groups)) if sizes is None else sizes
    if not sizes:
        return []
    together = _of_one_group(groups, cfg, chance)
    rest = np.setdiff1d(np.arange(len(groups)), np.concatenate([*together, np.zeros(0, dtype=np.int64)]))
    units = _units(rest, categories, cfg, chance)
    shuffled = chance.permutation(len(units) + len(together))
    pieces: list[list[int]] = []
    for position in shuffled.tolist():
        if position < len(units):
            pieces += [[row] for row in units[position].tolist()]
        else:
            pieces.append(together[position - len(units)].tolist())
    placed = zip(place(pieces, groups, sizes, distinct=cfg.distinct_groups), sizes, strict=True)
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


def _of_one_group(groups: np.ndarray, cfg: SamplerConfig, chance: np.random.Generator) -> list[np.ndarray]:
    """Return pieces of two to ``listings_per_group`` rows of one group each, ``group_share`` of all rows at most."""
    if cfg.group_share == 0:
        return []
    rows = chance.permutation(len(groups))
    pieces = [piece for piece in _runs(rows, groups, cfg.listings_per_group) if len(piece) > 1]
    pieces = [pieces[position] for position in chance.permutation(len(pieces))]
    ends = np.cumsum([len(piece) for piece in pieces])
    return pieces[: int(np.searchsorted(ends, cfg.group_share * len(groups), side="right"))]


def _units(
    rows: np.ndarray, categories: np.ndarray, cfg: SamplerConfig, chance: np.random.Generator
) -> list[np.ndarray]:
    """Return the rows as clusters of one category, ``hard_negative_share`` of them, and as single ones."""
    rows = rows[chance.permutation(len(rows))]
    clustered = int(cfg.hard_negative_share * len(rows))
    return [*_runs(rows[:clustered], categories, cfg.cluster_size), *rows[clustered:, None]]


def _runs(rows: np.ndarray, values: np.ndarray, longest: int) -> list[np.ndarray]:
    """Cut rows into pieces of one value of ``values`` and at most ``longest`` rows, in the order of the values."""
    rows = rows[np.argsort(values[rows], kind="stable")]
    borders = np.flatnonzero(np.diff(values[rows])) + 1
    return [part[start : start + longest] for part in np.split(rows, borders) for start in range(0, len(part), longest)]
