"""The pairwise sigmoid loss with group-aware labels, and its gradient, a block of rows at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ecclip.train.config import Labels
from ecclip.train.distributed.world import SINGLE_PROCESS, World
from ecclip.train.loss.similarity import BLOCK_ROWS, LossGradients, Similarities


def sigmoid_gradients(
    image: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    groups: Tensor,
    labels: Labels,
    block_rows: int = BLOCK_ROWS,
    world: World = SINGLE_PROCESS,
) -> LossGradients:
    """Return the pairwise sigmoid loss of a batch and its exact gradients.

    With logits S = exp(logit_scale) * image @ text.T + logit_bias the loss is -sum(log sigmoid(Z * S)) / B, where Z
    is 1 for matches and -1 for all other pairs (Zhai et al. 2023, section 3). Memory is O(block_rows * B).

    Args:
        image: [B, d] of length 1; of several processes each has its rows.
        text: [B, d] of length 1.
        logit_scale: logarithm of the factor on the similarities, scalar.
        logit_bias: added to every logit, scalar.
        groups: int64 [B]; pairs of one group are the same product.
        labels: ``soft``: all pairs of a group match; ``mask``: an image matches its own text, other pairs of the
            group are left out; ``hard``: an image matches its own text alone.
        block_rows: rows of S that exist at once.
        world: the processes that hold the rows of the batch.
    """
    logits = Similarities(image, text, logit_scale, groups, labels, world)
    bias = logit_bias.detach().to(logits.image.dtype)
    loss, image_gradient, text_gradient, scale, biases = world.together(
        lambda: _gradients(logits, bias, logits.blocks(block_rows))
    )
    text_gradient = world.sum(text_gradient)[logits.own]
    return LossGradients(world.sum(loss), image_gradient, text_gradient, scale, biases)


def _gradients(logits: Similarities, bias: Tensor, blocks: list[slice]) -> tuple[Tensor, ...]:
    """Return the contribution of these rows to the loss and to the gradients of their images, all texts, scale and
    bias."""
    image_gradient, text_gradient = torch.empty_like(logits.image), torch.zeros_like(logits.text)
    loss, scale_gradient, bias_gradient = (logits.image.new_zeros(()) for _ in range(3))
    for block in blocks:
        scaled = logits.logits(block)
        matches = logits.same_group(block) if logits.labels == "soft" else logits.identity(block)
        sign = torch.where(matches, 1.0, -1.0).to(scaled.dtype)
        signed = sign * (scaled + bias)
        losses, gradient = -functional.logsigmoid(signed), -sign * torch.sigmoid(-signed)
        left_out = logits.left_out(block)
        if left_out is not None:
            losses, gradient = (values.masked_fill(left_out, 0.0) for values in (losses, gradient))
        gradient = gradient / logits.size
        loss += losses.sum() / logits.size
        image_gradient[block] = logits.scale * (gradient @ logits.text)
        text_gradient += logits.scale * (gradient.T @ logits.image[block])
        scale_gradient += (gradient * scaled).sum()
        bias_gradient += gradient.sum()
    return loss, image_gradient, text_gradient, scale_gradient, bias_gradient
