"""AdamW, its rates as a pure function of the step, and its state as named tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn

from ecclip.errors import TrainError
from ecclip.model import Towers, TowersConfig
from ecclip.train.config import FREEZE_SMALL, OptimizerConfig
from ecclip.train.engine.measures import gradient_norms, learning_rates

_STATE = ("step", "exp_avg", "exp_avg_sq")


class Optimizer:
    """AdamW over the parameters that are not frozen."""

    def __init__(self, towers: Towers, cfg: OptimizerConfig, total_steps: int) -> None:
        self.cfg, self.total_steps = cfg, total_steps
        self._towers = towers
        self.parameters = freeze(towers, _frozen(towers, cfg))
        depth = layers_below_the_top(towers) if cfg.layer_decay < 1 else {}
        members: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            rate = cfg.tower_learning_rate if ".tower." in name else cfg.projection_learning_rate
            decay = cfg.weight_decay if parameter.ndim >= 2 else 0.0
            members.setdefault((rate * cfg.layer_decay ** depth.get(name, 0), decay), []).append(parameter)
        groups = [{"params": own, "rate": rate, "weight_decay": decay} for (rate, decay), own in members.items()]
        self._adam = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), eps=1e-6, fused=True)

    def clip(self) -> Tensor:
        """Scale the gradients down to an L2 norm of ``clip_norm`` and return their norm before, a scalar []."""
        return torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.cfg.clip_norm)

    def step(self, step: int, batch_share: float = 1.0) -> None:
        """Change the parameters by their gradients.

        Args:
            step: counts from 0.
            batch_share: pairs of this batch divided by those of a full one.
        """
        factor = rate_factor(step, self.total_steps, self.cfg.warmup_share) * _batch_factor(self.cfg, batch_share)
        for group in self._adam.param_groups:
            group["lr"] = group["rate"] * factor
        self._adam.step()

    def rates(self) -> dict[str, float]:
        """Return the learning rates of the last step by part of the towers."""
        return learning_rates(self.parameters, self._adam.param_groups)

    def norms(self) -> dict[str, float]:
        """Return the gradient norms by part of the towers; unclipped if called before clipping."""
        return gradient_norms(self.parameters)

    def clear(self) -> None:
        """Clear all gradients."""
        self._towers.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Return the moments by parameter name."""
        stored = self._adam.state
        return {
            f"{name}.{key}": stored[parameter][key]
            for name, parameter in self.parameters.items()
            for key in _STATE
            if parameter in stored
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""
        for name, parameter in self.parameters.items():
            if f"{name}.step" in state:
                self._adam.state[parameter] = {key: _laid_out_like(state[f"{name}.{key}"], parameter) for key in _STATE}


def _laid_out_like(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """Return a copy with the strides of the parameter: the fused kernel walks the memory of both side by side."""
    if value.ndim == 0:
        return value.clone().to(parameter.device)
    return torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(value).detach()


def _frozen(towers: Towers, cfg: OptimizerConfig) -> tuple[str, ...]:
    if cfg.freeze is not None:
        return cfg.freeze
    small = TowersConfig()
    return FREEZE_SMALL if (towers.cfg.vision, towers.cfg.text) == (small.vision, small.text) else ()


def freeze(towers: Towers, prefixes: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """Freeze the parameters whose names start with a prefix and return the others by name."""
    trained: dict[str, nn.Parameter] = {}
    used = set()
    for name, parameter in towers.named_parameters():
        matching = [prefix for prefix in prefixes if name.startswith(prefix)]
        used.update(matching)
        parameter.requires_grad_(not matching)
        if not matching:
            trained[name] = parameter
    unused = sorted(set(prefixes) - used)
    if unused:
        step = "set optimizer.freeze to prefixes of these towers, or to nothing"
        raise TrainError("freeze: no parameter has this prefix", value=", ".join(unused), next_step=step)
    if not trained:
        raise TrainError(
            "freeze: nothing is left to train",
            value=", ".join(prefixes),
            next_step="freeze fewer modules (train.trainer.optimizer.freeze)",
        )
    return trained


def layers_below_the_top(towers: Towers) -> dict[str, int]:
    """Return how many layers lie above each parameter of the towers' networks, 0 for the last one."""
    image: Any = towers.image_encoder.tower
    layers = group_parameters(image, image.group_matcher(coarse=False), reverse=True)
    found = {f"image_encoder.tower.{name}": int(layer) for name, layer in layers.items()}
    top = max(found.values(), default=0)
    depth = {name: top - layer for name, layer in found.items()}
    text = {name: _text_layer(name) for name, _ in towers.text_encoder.tower.named_parameters()}
    top = max(text.values(), default=0)
    # the norm after the last layer of CLIP's and SigLIP's towers belongs to the top
    return depth | {
        f"text_encoder.tower.{name}": 0 if name.startswith("final_") else top - layer for name, layer in text.items()
    }


def _text_layer(name: str) -> int:
    """Return 0 for the token embeddings, 1 and on for the numbered layers, as transformers names them."""
    numbered = re.search(r"\.(\d+)\.", f".{name}")
    return 1 + int(numbered.group(1)) if numbered else 0


def _batch_factor(cfg: OptimizerConfig, share: float) -> float:
    return {"root": math.sqrt(share), "linear": share, "none": 1.0}[cfg.learning_rate_scaling]


def rate_factor(step: int, total_steps: int, warmup_share: float) -> float:
    """Return the factor on the highest learning rate at a step: linear warm-up, then a half cosine down to zero
    (Loshchilov and Hutter, 2017)."""
    warmup = int(warmup_share * total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))
