"""A moving average of the weights over the steps of a training, which takes their place at its end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

_PREFIX = "average."


class Average:
    """An exponential moving average (Polyak and Juditsky 1992) of parameters; without a decay it does nothing.

    Args:
        parameters: by name; those that are trained.
        decay: share of the average that a step leaves; less in the first steps, where it is (1 + step) / (10 + step)
            at most, so that the start is forgotten (as TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float | None) -> None:
        self._decay = decay
        self._parameters = dict(parameters) if decay is not None else {}
        self._values = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def update(self, step: int) -> None:
        """Take in the parameters after ``step`` steps, from 1."""
        if self._decay is not None:
            blend = get_ema_multi_avg_fn(min(self._decay, (1 + step) / (10 + step)))
            blend(list(self._values.values()), [one.detach() for one in self._parameters.values()], step)

    def apply(self) -> None:
        """Put the average in the place of the parameters."""
        with torch.no_grad():
            for name, value in self._values.items():
                self._parameters[name].copy_(value)

    def state(self) -> dict[str, Tensor]:
        """Return the average by name, for a checkpoint."""
        return {f"{_PREFIX}{name}": value for name, value in self._values.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""
        for name, value in self._values.items():
            value.copy_(tensors[f"{_PREFIX}{name}"])
