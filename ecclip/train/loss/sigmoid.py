"""The pairwise sigmoid loss with the catalog as label, and its gradient, a block of rows at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ecclip.train.distributed.world import SINGLE_PROCESS, World
from ecclip.train.loss.labels import Labels
from ecclip.train.loss.pairs import PairLabels
from ecclip.train.loss.similarity import (
    BLOCK_ROWS,
    LossGradients,
    Similarities,
    WithinGradients,
    at_least_float32,
)


def sigmoid_gradients(
    image: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    groups: Tensor,
    labels: Labels,
    block_rows: int = BLOCK_ROWS,
    world: World = SINGLE_PROCESS,
    certainty: Tensor | None = None,
) -> LossGradients:
    """Return the pairwise sigmoid loss of a batch and its exact gradients.

    With logits S = exp(logit_scale) * image @ text.T + logit_bias the loss is -sum(log sigmoid(Z * S)) / B, where Z
    is 1 for matches and -1 for all other pairs (Zhai et al. 2023, section 3), plus the loss within the modalities
    where ``labels`` has one. Memory is O(block_rows * B).

    Args:
        image: [B, d] of length 1; of several processes each has its rows.
        text: [B, d] of length 1.
        logit_scale: logarithm of the factor on the similarities, scalar.
        logit_bias: added to every logit, scalar.
        groups: int64 [B]; pairs of one group are the same product.
        labels: what counts as a match within a group; :class:`Labels` has the formulas.
        block_rows: rows of S that exist at once.
        world: the processes that hold the rows of the batch.
        certainty: [B] from 0 to 1, how sure it is that a listing belongs to its group; None: certain.
    """
    pairs = PairLabels(groups, labels, world, at_least_float32(image), certainty)
    bias = logit_bias.detach().to(at_least_float32(image))
    similarities = Similarities(image, text, logit_scale, pairs)
    loss, bias_gradient = _over_all_rows(similarities, bias, block_rows, within=False)
    across = LossGradients(
        loss, similarities.anchor_gradient, similarities.own_candidates(), similarities.scale_gradient, bias_gradient
    )
    if pairs.labels != Labels.SOFT_WITHIN:
        return across
    within = (_within(Similarities(own, own, logit_scale, pairs), bias, block_rows) for own in (image, text))
    return across.plus_within(*within)


def _within(similarities: Similarities, bias: Tensor, block_rows: int) -> WithinGradients:
    """Return the loss among the embeddings of one modality, each row against all others, and its gradients."""
    loss, bias_gradient = _over_all_rows(similarities, bias, block_rows, within=True)
    embeddings = similarities.anchor_gradient + similarities.own_candidates()
    return WithinGradients(loss, embeddings, similarities.scale_gradient, bias_gradient)


def _over_all_rows(similarities: Similarities, bias: Tensor, block_rows: int, *, within: bool) -> tuple[Tensor, Tensor]:
    """Propagate the gradient; return the loss of all processes and this one's part of the gradient of the bias."""
    world, blocks = similarities.pairs.world, similarities.pairs.blocks(block_rows)
    loss, bias_gradient = world.together(lambda: _propagate(similarities, bias, blocks, within=within))
    return world.sum(loss), bias_gradient


def _propagate(similarities: Similarities, bias: Tensor, blocks: list[slice], *, within: bool) -> tuple[Tensor, Tensor]:
    """Propagate the gradient of these rows; return their part of the loss and of the gradient of the bias."""
    pairs = similarities.pairs
    loss, bias_gradient = (similarities.anchors.new_zeros(()) for _ in range(2))
    for block in blocks:
        logits = similarities.logits(block)
        sign = torch.where(pairs.matches(block) > 0, 1.0, -1.0).to(logits.dtype)
        signed = sign * (logits + bias)
        losses, gradient = -functional.logsigmoid(signed), -sign * torch.sigmoid(-signed)
        shares = pairs.shares(block, within=within)
        if shares is not None:
            losses, gradient = losses * shares, gradient * shares
        gradient = gradient / pairs.size
        loss += losses.sum() / pairs.size
        bias_gradient += gradient.sum()
        similarities.backward(block, gradient, logits)
    return loss, bias_gradient
