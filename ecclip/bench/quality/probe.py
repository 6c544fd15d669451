"""A linear probe: how much of a label a frozen tower's features show to a linear classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

_LEAST = 10  # training products per class; by judgment
_STEPS = 60  # of L-BFGS; by judgment
_DECAYS = (1e-4, 1e-3, 1e-2)  # the grid that validation chooses from; by judgment


def probe_hits(features: dict[str, np.ndarray], labels: dict[str, Sequence[str | None]]) -> np.ndarray:
    """Return for every test row with a known label whether the probe is right, bool [N].

    A softmax regression on standardised features; weight decay is chosen on validation, so test is looked at once.

    Args:
        features: float32 [N, width] for each of train, validation, test.
        labels: as many labels; classes with fewer than ten train rows are left out everywhere.
    """
    counts = Counter(label for label in labels["train"] if label)
    classes = {name: code for code, name in enumerate(sorted(name for name, n in counts.items() if n >= _LEAST))}
    rows = {split: np.array([label in classes for label in own]) for split, own in labels.items()}
    codes = {
        split: torch.tensor([classes[label] for label in own if label in classes]) for split, own in labels.items()
    }
    mean, scale = features["train"].mean(axis=0), features["train"].std(axis=0) + 1e-6
    inputs = {name: torch.from_numpy((own[rows[name]] - mean) / scale) for name, own in features.items()}
    fitted = [_fit(inputs["train"], codes["train"], len(classes), decay) for decay in _DECAYS]
    right = [
        float((_scores(inputs["validation"], one).argmax(1) == codes["validation"]).float().mean()) for one in fitted
    ]
    best = fitted[int(np.argmax(right))]
    hits: np.ndarray = (_scores(inputs["test"], best).argmax(1) == codes["test"]).numpy()
    return hits


def interval(hits: np.ndarray, seed: int = 0, resamples: int = 1000) -> tuple[float, float, float]:
    """Return the mean with its 95 % interval (percentile bootstrap over the rows)."""
    chance = np.random.default_rng(seed)
    means = hits[chance.integers(0, len(hits), (resamples, len(hits)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(hits.mean()), float(low), float(high)


def _fit(inputs: torch.Tensor, codes: torch.Tensor, classes: int, decay: float) -> tuple[torch.Tensor, torch.Tensor]:
    weight = torch.zeros(classes, inputs.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(_scores(inputs, (weight, bias)), codes) + decay * weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()


def _scores(inputs: torch.Tensor, fitted: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return inputs @ fitted[0].T + fitted[1]
