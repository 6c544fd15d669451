"""How the networks are executed; changes speed and memory, not results."""

from __future__ import annotations

from typing import Any

from ecclip.errors import TrainError
from ecclip.model import Towers
from ecclip.train.config import TrainerConfig


def prepare_execution(towers: Towers, cfg: TrainerConfig) -> None:
    """Switch the towers to what the configuration says of compilation, layout, attention and recomputation.

    Raises:
        TrainError: a network does not support a requested switch, or the size of the pictures.
    """
    image: Any = towers.image_encoder.tower
    text: Any = towers.text_encoder.tower
    if cfg.image_size not in (None, towers.cfg.image_size) and towers.image_encoder.has_one_size:
        raise TrainError(
            "the vision tower takes pictures of one size",
            value=cfg.image_size,
            limit=towers.cfg.image_size,
            next_step="leave train.trainer.image_size out",
        )
    towers.image_encoder.use_channels_last(cfg.channels_last)
    try:
        text.set_attn_implementation("sdpa" if cfg.fused_attention else "eager")
        if cfg.gradient_checkpointing:
            image.set_grad_checkpointing(True)
            _checkpoint_activations(text)
    except (AttributeError, ValueError, NotImplementedError, AssertionError) as error:
        raise TrainError(
            "a tower does not know this switch",
            value=str(error)[:300],
            next_step="turn it off in params.yaml (train.trainer), or take other towers",
        ) from error
    if cfg.compile:
        from torch._inductor import config as inductor

        # compiled dropout draws as eager dropout does: the pass without a graph and the one with it see equal masks
        inductor.fallback_random = True
        image.compile(dynamic=True)
        text.compile(dynamic=True)


def _checkpoint_activations(encoder: Any) -> None:
    newer = getattr(encoder, "activation_checkpointing_enable", None)  # transformers renamed it after 5.17
    if newer is not None:
        newer(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
