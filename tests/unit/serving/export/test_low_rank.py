"""Heads of thousands of labels on few axes go into the graph as two smaller matrices that say the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from ecclip.serving.export.graph_modules import heads_graph
from ecclip.tasks import Heads


def heads(labels: int, rank: int) -> Heads:
    chance = np.random.default_rng(0)
    photo, title = (chance.normal(size=(64, rank)) @ chance.normal(size=(rank, labels)) for _ in range(2))
    nothing = np.zeros_like(photo)
    of_each = [np.concatenate(pair) for pair in ((photo, nothing), (nothing, title), (0.3 * photo, 0.8 * title))]
    bias = chance.normal(size=(3, labels)).astype(np.float32)
    return Heads(64, np.stack(of_each).astype(np.float32), bias, (), {})


def test_a_graph_of_factors_says_what_the_matrices_say() -> None:
    found = heads(2000, 20)
    factors = found.factors()
    assert factors is not None
    assert factors[1].shape == (40, 2000)
    chance = np.random.default_rng(1)
    image, text = (chance.normal(size=(6, 64)).astype(np.float32) for _ in range(2))
    modality = np.arange(6) % 3
    graph = heads_graph(cast(Any, SimpleNamespace(heads=found)))
    logits = graph(*(torch.from_numpy(one) for one in (image, text, modality))).numpy()
    for row, name in enumerate(("image", "text", "both") * 2):
        np.testing.assert_allclose(
            logits[row], found.logits(image[row : row + 1], text[row : row + 1], name)[0], atol=1e-3
        )


def test_small_heads_and_those_of_full_rank_stay_whole() -> None:
    assert heads(40, 20).factors() is None
    full = np.random.default_rng(2).normal(size=(3, 128, 2000)).astype(np.float32)
    assert Heads(64, full, full[:, 0], (), {}).factors() is None
