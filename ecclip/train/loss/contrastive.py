"""The contrastive loss with group-aware labels, and its gradient, without ever holding the B x B matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from ecclip.train.config import Labels
from ecclip.train.distributed.world import SINGLE_PROCESS, World
from ecclip.train.loss.similarity import BLOCK_ROWS, LossGradients, Similarities


def contrastive_gradients(
    image: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    groups: Tensor,
    labels: Labels,
    block_rows: int = BLOCK_ROWS,
    world: World = SINGLE_PROCESS,
) -> LossGradients:
    """Return the symmetric cross entropy over the similarities of a batch and its exact gradients.

    With logits S = exp(logit_scale) * image @ text.T the loss is the mean of the cross entropies of the rows and of
    the columns of S against targets T (Radford et al. 2021, figure 3). Memory is O(block_rows * B).

    Args:
        image: [B, d] of length 1; of several processes each has its rows.
        text: [B, d] of length 1.
        logit_scale: logarithm of the inverse temperature, scalar.
        groups: int64 [B]; pairs of one group are the same product.
        labels: ``soft``: T spreads each row and column evenly over its group; ``mask``: T is the identity and other
            pairs of the group are left out of the negatives; ``hard``: T is the identity.
        block_rows: rows of S that exist at once.
        world: the processes that hold the rows of the batch.
    """
    logits = _Logits(image, text, logit_scale, groups, labels, world)
    blocks, size = logits.blocks(block_rows), logits.size
    row_norm, column_norm, matched = world.together(lambda: _normalisers(logits, blocks))
    column_norm = _log_sum_exp(world.stack(column_norm))
    rows, matches = world.sum(torch.stack([row_norm.sum(), matched]))
    loss = (rows + column_norm.sum() - 2 * matches) / (2 * size)
    image_gradient, text_gradient, scale_gradient = world.together(
        lambda: _gradients(logits, blocks, row_norm, column_norm)
    )
    return LossGradients(loss, image_gradient, world.sum(text_gradient)[logits.own], scale_gradient)


class _Logits(Similarities):
    """Rows of S and of its targets."""

    def __init__(
        self, image: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor, labels: Labels, world: World
    ) -> None:
        super().__init__(image, text, logit_scale, groups, labels, world)
        _, codes, counts = self.groups.unique(return_inverse=True, return_counts=True)
        self._group_sizes = counts[codes].to(self.image.dtype)[self.own]

    def block(self, rows: slice) -> Tensor:
        """Return S[rows], left-out pairs at minus infinity."""
        scores, left_out = self.logits(rows), self.left_out(rows)
        return scores if left_out is None else scores.masked_fill(left_out, -torch.inf)

    def targets(self, rows: slice) -> Tensor:
        """Return T[rows]; every row and column of T sums to 1."""
        if self.labels == "soft":
            return self.same_group(rows) / self._group_sizes[rows, None]
        return self.identity(rows).to(self.image.dtype)


def _normalisers(logits: _Logits, blocks: list[slice]) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-sum-exp of these rows of S and, over these rows, of every column; and the sum of S * T."""
    row_norm = logits.image.new_empty(len(logits.image))
    column_norm = logits.image.new_full((logits.size,), -torch.inf)
    matched = logits.image.new_zeros(())
    for block in blocks:
        scores = logits.block(block)
        row_norm[block] = scores.logsumexp(dim=1)
        column_norm = torch.logaddexp(column_norm, scores.logsumexp(dim=0))
        matched = matched + torch.where(scores.isneginf(), 0.0, scores * logits.targets(block)).sum()
    return row_norm, column_norm, matched


def _log_sum_exp(parts: Tensor) -> Tensor:
    """Return the logarithm of the sum of exponentials over the processes [W, B], added in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = torch.logaddexp(total, part)
    return total


def _gradients(
    logits: _Logits, blocks: list[slice], row_norm: Tensor, column_norm: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the contribution of these rows of S to the gradients of their images, of all texts and of the scale."""
    image_gradient, text_gradient = torch.empty_like(logits.image), torch.zeros_like(logits.text)
    scale_gradient = logits.image.new_zeros(())
    for block in blocks:
        scores = logits.block(block)
        gradient = torch.exp(scores - row_norm[block, None]) + torch.exp(scores - column_norm[None, :])
        gradient = (gradient - 2 * logits.targets(block)) / (2 * logits.size)
        image_gradient[block] = logits.scale * (gradient @ logits.text)
        text_gradient += logits.scale * (gradient.T @ logits.image[block])
        scale_gradient += (gradient * torch.where(scores.isneginf(), 0.0, scores)).sum()
    return image_gradient, text_gradient, scale_gradient
