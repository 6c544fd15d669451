"""The contrastive loss with labels that know groups, and its gradient, without ever holding the B x B matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ecclip.train._config import Labels

_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class LossGradients:
    """The loss of a batch and its gradients for the embeddings [B, d] and the logarithm of the logit scale."""

    loss: Tensor
    image: Tensor
    text: Tensor
    logit_scale: Tensor


def contrastive_gradients(
    image: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor, labels: Labels, block_rows: int = _BLOCK_ROWS
) -> LossGradients:
    """Return the symmetric cross entropy over the similarities of a batch and its exact gradients.

    With logits S = exp(logit_scale) * image @ text.T the loss is the mean of the cross entropies of the rows and of
    the columns of S against targets T (Radford et al. 2021, figure 3). Memory is O(block_rows * B).

    Args:
        image: [B, d] of length 1.
        text: [B, d] of length 1.
        logit_scale: logarithm of the inverse temperature, scalar.
        groups: int64 [B]; pairs of one group are the same product.
        labels: ``soft``: T spreads each row and column evenly over its group; ``mask``: T is the identity and other
            pairs of the group are left out of the negatives; ``hard``: T is the identity.
        block_rows: rows of S that exist at once.
    """
    logits = _Logits(image, text, logit_scale, groups, labels)
    size = image.shape[0]
    blocks = [slice(start, min(start + block_rows, size)) for start in range(0, size, block_rows)]
    row_norm, column_norm, matched = _normalisers(logits, blocks)
    loss = (row_norm.sum() + column_norm.sum() - 2 * matched) / (2 * size)
    image_gradient, text_gradient = torch.empty_like(logits.image), torch.zeros_like(logits.text)
    scale_gradient = torch.zeros_like(loss)
    for block in blocks:
        scores = logits.block(block)
        gradient = torch.exp(scores - row_norm[block, None]) + torch.exp(scores - column_norm[None, :])
        gradient = (gradient - 2 * logits.targets(block)) / (2 * size)
        image_gradient[block] = logits.scale * (gradient @ logits.text)
        text_gradient += logits.scale * (gradient.T @ logits.image[block])
        scale_gradient += (gradient * torch.where(scores.isneginf(), 0.0, scores)).sum()
    return LossGradients(loss, image_gradient, text_gradient, scale_gradient)


class _Logits:
    """Rows of the similarity matrix and of its targets on demand, in at least float32."""

    def __init__(self, image: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor, labels: Labels) -> None:
        dtype = torch.promote_types(image.dtype, torch.float32)
        self.image, self.text = image.detach().to(dtype), text.detach().to(dtype)
        self.scale = logit_scale.detach().to(dtype).exp()
        self.groups, self.labels = groups, labels
        _, codes, counts = groups.unique(return_inverse=True, return_counts=True)
        self.group_sizes = counts[codes].to(dtype)

    def block(self, rows: slice) -> Tensor:
        """Return S[rows], left-out pairs at minus infinity."""
        scores = self.scale * (self.image[rows] @ self.text.T)
        if self.labels == "mask":
            scores = scores.masked_fill(self._same_group(rows) & ~self._identity(rows), -torch.inf)
        return scores

    def targets(self, rows: slice) -> Tensor:
        """Return T[rows]; every row and column of T sums to 1."""
        if self.labels == "soft":
            return self._same_group(rows) / self.group_sizes[rows, None]
        return self._identity(rows).to(self.image.dtype)

    def _same_group(self, rows: slice) -> Tensor:
        return self.groups[rows, None] == self.groups[None, :]

    def _identity(self, rows: slice) -> Tensor:
        index = torch.arange(len(self.groups), device=self.groups.device)
        return index[rows, None] == index[None, :]


def _normalisers(logits: _Logits, blocks: list[slice]) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-sum-exp of every row and column of S, and the sum of S * T."""
    size = len(logits.groups)
    row_norm = logits.image.new_empty(size)
    column_norm = logits.image.new_full((size,), -torch.inf)
    matched = logits.image.new_zeros(())
    for block in blocks:
        scores = logits.block(block)
        row_norm[block] = scores.logsumexp(dim=1)
        column_norm = torch.logaddexp(column_norm, scores.logsumexp(dim=0))
        matched = matched + torch.where(scores.isneginf(), 0.0, scores * logits.targets(block)).sum()
    return row_norm, column_norm, matched
