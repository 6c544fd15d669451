"""Metrics of a step besides its loss: gradient norms and learning rates of each part of the towers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

PARTS = ("image", "text", "projections")


class Tracker(Protocol):
    """Receives metrics while training runs; must never wait for more than the local disk."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep values measured after ``step`` steps; steps that it already has are left out."""


def part_of(name: str) -> str:
    """Return the part of the towers that a parameter belongs to; the temperature counts as a projection."""
    if ".tower." not in name:
        return "projections"
    return "image" if name.startswith("image_encoder.") else "text"


def gradient_norms(parameters: Mapping[str, nn.Parameter]) -> dict[str, float]:
    """Return ``train/gradient_norm_<part>``, the norm of the gradient of each part that is trained."""
    gradients: dict[str, list[Tensor]] = {part: [] for part in PARTS}
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            gradients[part_of(name)].append(parameter.grad)
    norms = {part: torch.nn.utils.get_total_norm(values) for part, values in gradients.items() if values}
    if not norms:
        return {}
    # one transfer from the device for all of them
    values = torch.stack(list(norms.values())).tolist()
    return {f"train/gradient_norm_{part}": value for part, value in zip(norms, values, strict=True)}


def learning_rates(parameters: Mapping[str, nn.Parameter], groups: list[dict[str, Any]]) -> dict[str, float]:
    """Return ``train/learning_rate_<part>``, the highest rate of each part in the optimizer's groups."""
    rate_of = {id(parameter): float(group["lr"]) for group in groups for parameter in group["params"]}
    highest: dict[str, float] = {}
    for name, parameter in parameters.items():
        part = part_of(name)
        highest[part] = max(highest.get(part, 0.0), rate_of.get(id(parameter), 0.0))
    return {f"train/learning_rate_{part}": highest[part] for part in PARTS if part in highest}
