"""The contrastive loss with the catalog as label, and its gradient, without ever holding the B x B matrix."""

from __future__ import annotations

import torch
from torch import Tensor

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


def contrastive_gradients(
    image: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    groups: Tensor,
    labels: Labels,
    block_rows: int = BLOCK_ROWS,
    world: World = SINGLE_PROCESS,
    certainty: Tensor | None = None,
) -> LossGradients:
    """Return the symmetric cross entropy over the similarities of a batch and its exact gradients.

    With logits S = exp(logit_scale) * image @ text.T the loss is the mean of the cross entropies of the rows and of
    the columns of S against the targets of ``labels``, plus the loss within the modalities where ``labels`` has one.
    Memory is O(block_rows * B).

    Args:
        image: [B, d] of length 1; of several processes each has its rows.
        text: [B, d] of length 1.
        logit_scale: logarithm of the inverse temperature, scalar.
        groups: int64 [B]; pairs of one group are the same product.
        labels: what counts as a match within a group; :class:`Labels` has the formulas.
        block_rows: rows of S that exist at once.
        world: the processes that hold the rows of the batch.
        certainty: [B] from 0 to 1, how sure it is that a listing belongs to its group; None: certain.
    """
    pairs = PairLabels(groups, labels, world, at_least_float32(image), certainty)
    across = _across(Similarities(image, text, logit_scale, pairs), block_rows)
    if pairs.labels != Labels.SOFT_WITHIN:
        return across
    within = (_within(Similarities(own, own, logit_scale, pairs), block_rows) for own in (image, text))
    return across.plus_within(*within)


def _across(similarities: Similarities, block_rows: int) -> LossGradients:
    pairs, world = similarities.pairs, similarities.pairs.world
    blocks = pairs.blocks(block_rows)
    row_norm, column_norm, matched = world.together(lambda: _normalisers(similarities, blocks))
    column_norm = _log_sum_exp(world.stack(column_norm))
    rows, matches = world.sum(torch.stack([row_norm.sum(), matched]))
    world.together(lambda: _propagate(similarities, blocks, row_norm, column_norm))
    return LossGradients(
        loss=(rows + column_norm.sum() - matches) / (2 * pairs.size),
        image=similarities.anchor_gradient,
        text=similarities.own_candidates(),
        logit_scale=similarities.scale_gradient,
    )


def _normalisers(similarities: Similarities, blocks: list[slice]) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-sum-exp of these rows of S and, over these rows, of every column; and the sum of S times targets."""
    pairs, anchors = similarities.pairs, similarities.anchors
    row_norm = anchors.new_empty(len(anchors))
    column_norm = anchors.new_full((pairs.size,), -torch.inf)
    matched = anchors.new_zeros(())
    for block in blocks:
        logits = similarities.logits(block)
        weighted = _weighted(logits, pairs.shares(block))
        row_norm[block] = weighted.logsumexp(dim=1)
        column_norm = torch.logaddexp(column_norm, weighted.logsumexp(dim=0))
        matched = matched + (logits * pairs.targets(block)).sum()
    return row_norm, column_norm, matched


def _log_sum_exp(parts: Tensor) -> Tensor:
    """Return the logarithm of the sum of exponentials over the processes [W, B], added in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = torch.logaddexp(total, part)
    return total


def _propagate(similarities: Similarities, blocks: list[slice], row_norm: Tensor, column_norm: Tensor) -> None:
    """Propagate the gradient of these rows of S."""
    pairs = similarities.pairs
    for block in blocks:
        logits = similarities.logits(block)
        weighted = _weighted(logits, pairs.shares(block))
        gradient = torch.exp(weighted - row_norm[block, None]) + torch.exp(weighted - column_norm[None, :])
        similarities.backward(block, (gradient - pairs.targets(block)) / (2 * pairs.size), logits)


def _within(similarities: Similarities, block_rows: int) -> WithinGradients:
    """Return the loss among the embeddings of one modality, each row against all others, and its gradients."""
    pairs, world = similarities.pairs, similarities.pairs.world
    loss = world.sum(world.together(lambda: _propagate_within(similarities, pairs.blocks(block_rows))))
    return WithinGradients(
        loss=loss / pairs.size,
        embeddings=similarities.anchor_gradient + similarities.own_candidates(),
        logit_scale=similarities.scale_gradient,
        logit_bias=torch.zeros_like(loss),
    )


def _propagate_within(similarities: Similarities, blocks: list[slice]) -> Tensor:
    """Propagate the gradient of these rows and return their sum of the loss.

    A row needs its own normaliser alone, so one walk over the blocks is enough.
    """
    pairs = similarities.pairs
    loss = similarities.anchors.new_zeros(())
    for block in blocks:
        logits, targets = similarities.logits(block), pairs.targets_within(block)
        weighted = _weighted(logits, pairs.shares(block, within=True))
        norm = weighted.logsumexp(dim=1)
        norm = norm.masked_fill(norm.isneginf(), 0.0)  # nothing to compare with: its targets are 0 as well
        sure = targets.sum(dim=1)
        loss += (sure * norm).sum() - (targets * logits).sum()
        gradient = sure[:, None] * torch.exp(weighted - norm[:, None]) - targets
        similarities.backward(block, gradient / pairs.size, logits)
    return loss


def _weighted(logits: Tensor, shares: Tensor | None) -> Tensor:
    """Return logits whose exponentials are those of ``logits`` times ``shares``: minus infinity for a share of 0."""
    return logits if shares is None else logits + shares.log()
