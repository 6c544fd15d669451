"""The peer without a contrastive stage: both towers fine-tuned on a shop's labels by cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecclip.bench.quality.data import Product
from ecclip.bench.quality.evaluated import target_of
from ecclip.formats.bundle import TOWERS
from ecclip.model import Towers, TowersConfig, build_towers, load_towers, save_towers
from ecclip.tasks.kinds.task import NO_LABEL
from ecclip.train import Batch, Loader, Optimizer, TrainerConfig, deterministic, open_pairs


def fine_tuned(
    folder: Path, shards: Path, towers_cfg: TowersConfig, cfg: TrainerConfig, train: Sequence[Product]
) -> Towers:
    """Return towers that learnt the labels of ``train``, the listings of the shards, from ``folder`` if they are there.

    Epochs, batch size, augmentation, rates and frozen layers are those of ``cfg``, the recipe of the contrastive stage.
    """
    if not (folder / TOWERS / "towers.json").is_file():
        towers, threads = build_towers(towers_cfg), torch.get_num_threads()
        pairs = open_pairs(shards, folder)
        loader = Loader(pairs, towers.preprocessor(), cfg.augment, cfg.seed, cfg.workers)
        place = {one.listing_id: number for number, one in enumerate(train)}
        order = [place[listing] for listing in pairs.listing_ids()]
        with deterministic(threads, torch.device("cpu")):
            _train(towers, loader, _labels([train[number] for number in order]), cfg)
        pairs.close()
        save_towers(towers, folder / TOWERS)
    return load_towers(folder / TOWERS)


def _labels(train: Sequence[Product]) -> np.ndarray:
    """Return the class of every label of each listing, int64 [N, L]; NO_LABEL where it is rare or not known."""
    names = sorted({name for one in train for name in one.labels})
    return np.stack([target_of(train, name, NO_LABEL).y for name in names], axis=1)


def _train(towers: Towers, loader: Loader, labels: np.ndarray, cfg: TrainerConfig) -> None:
    classes = (labels.max(axis=0) + 1).clip(1).tolist()
    widths = [encoder.projection.in_features for encoder in (towers.image_encoder, towers.text_encoder)]
    heads = [[nn.Linear(width, count) for count in classes] for width in widths]
    plan = list(_plan(len(labels), cfg))
    # so that the optimizer trains them, at the rate of the projections
    towers.add_module("classifiers", nn.ModuleList(head for every in heads for head in every))
    optimizer = Optimizer(towers, cfg.optimizer, len(plan))
    towers.image_encoder.use_channels_last(cfg.channels_last)
    towers.train(True)
    for step, (batch, (_, rows)) in enumerate(zip(loader.batches(plan), plan, strict=True)):
        optimizer.clear()
        _loss(towers, heads, batch, torch.from_numpy(labels[rows])).backward()
        optimizer.clip()
        optimizer.step(step)
    towers.train(False)
    del towers.classifiers


def _plan(listings: int, cfg: TrainerConfig) -> list[tuple[int, np.ndarray]]:
    """Return (epoch, rows) of every step: each listing once an epoch, in an order of its own."""
    size = cfg.sampler.batch_size
    orders = [np.random.default_rng([cfg.seed, epoch]).permutation(listings) for epoch in range(cfg.epochs)]
    return [(epoch, order[at : at + size]) for epoch, order in enumerate(orders) for at in range(0, listings, size)]


def _loss(towers: Towers, heads: Sequence[Sequence[nn.Linear]], batch: Batch, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over towers and labels; features have the length of the root of their width."""
    outputs = (towers.image_encoder.outputs(batch.pixels)[1], towers.text_encoder.outputs(batch.ids, batch.mask)[1])
    losses = [
        functional.cross_entropy(head(features * features.shape[1] ** 0.5), own, ignore_index=NO_LABEL)
        for features, every in zip(outputs, heads, strict=True)
        for head, own in zip(every, labels.T, strict=True)
        if (own != NO_LABEL).any()
    ]
    return torch.stack(losses).mean()
