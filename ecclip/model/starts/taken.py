"""What is taken over of a start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.design import Design

# of each channel of the pictures that CLIP was trained on (Radford et al. 2021; openai/CLIP, clip.py)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)  # as above


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A joint model in the form of our towers; tensors are float32.

    Attributes:
        cfg: with the sizes that the start has.
        design: what its networks are built of, and how it reads photos and texts.
        text_config: transformers configuration of its text tower.
        image: weights of timm's network, by name.
        text: weights of transformers' network, by name.
        image_projection: [d, width]; None: the features are the embedding.
        text_projection: [d, width].
        text_bias: [d], of the text projection.
        logit_scale: logarithm of the inverse temperature, a scalar [].
        logit_bias: of SigLIP, a scalar [].
        tokenizer: content of ``tokenizer.json``.
    """

    cfg: TowersConfig
    design: Design
    text_config: Mapping[str, Any]
    image: Mapping[str, Tensor]
    text: Mapping[str, Tensor]
    image_projection: Tensor | None
    text_projection: Tensor
    text_bias: Tensor | None
    logit_scale: Tensor
    logit_bias: Tensor | None
    tokenizer: str


def resolved(cfg: TowersConfig, vision: str, embedding_dim: int, image_size: int, max_tokens: int) -> TowersConfig:
    """Return the configuration of a start with the sizes that it has; its weights are named by the start alone."""
    start = cfg.start or ""
    return replace(
        cfg,
        vision=vision,
        vision_weights=start,
        text=start,
        embedding_dim=embedding_dim,
        image_size=image_size,
        max_tokens=max_tokens,
    )


def scalar(state: Mapping[str, Tensor], name: str) -> Tensor | None:
    """Return a number of a checkpoint as a scalar []; some keep it as [1]."""
    return state[name].reshape(()) if name in state else None


def refuse(what: str, value: object, limit: str, next_step: str = "take another start") -> ModelError:
    """Return the error of a start that could only be approximated."""
    return ModelError(f"a start cannot be taken over exactly: {what}", value=value, limit=limit, next_step=next_step)
