"""Rows of a similarity matrix of a batch on demand, and what its gradient means for the embeddings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ecclip.train.loss.pairs import PairLabels

BLOCK_ROWS = 1024  # of the similarity matrix that exist at once; bounds the memory


@dataclass(frozen=True)
class LossGradients:
    """The loss of a batch and its gradients.

    ``image`` and ``text`` are [B, d], of the rows of this process. ``logit_scale`` (of its logarithm) and
    ``logit_bias`` are this process's share: the gradient is their sum over all processes.
    """

    loss: Tensor
    image: Tensor
    text: Tensor
    logit_scale: Tensor
    logit_bias: Tensor | None = None

    def plus_within(self, image: WithinGradients, text: WithinGradients) -> LossGradients:
        """Return the gradients of this loss plus the mean of the losses within the two modalities."""
        return replace(
            self,
            loss=self.loss + (image.loss + text.loss) / 2,
            image=self.image + image.embeddings / 2,
            text=self.text + text.embeddings / 2,
            logit_scale=self.logit_scale + (image.logit_scale + text.logit_scale) / 2,
            logit_bias=None if self.logit_bias is None else self.logit_bias + (image.logit_bias + text.logit_bias) / 2,
        )


@dataclass(frozen=True)
class WithinGradients:
    """The loss within one modality and its gradients, as :class:`LossGradients` has them; embeddings [b, d]."""

    loss: Tensor
    embeddings: Tensor
    logit_scale: Tensor
    logit_bias: Tensor


class Similarities:
    """Embeddings of this process against those of the whole batch, in at least float32, and their gradients.

    Args:
        anchors: [b, d] of length 1.
        candidates: [b, d] of length 1; those of the other processes are gathered.
        logit_scale: logarithm of the factor on the similarities, scalar.
        pairs: what every pair counts as.

    Attributes:
        anchor_gradient: [b, d], of this process's anchors, as far as :meth:`backward` was called.
        candidate_gradient: [B, d], this process's part of that of all candidates.
        scale_gradient: this process's part of that of the logarithm of the scale.
    """

    def __init__(self, anchors: Tensor, candidates: Tensor, logit_scale: Tensor, pairs: PairLabels) -> None:
        dtype = at_least_float32(anchors)
        self.pairs = pairs
        self.anchors = anchors.detach().to(dtype)
        self.candidates = pairs.world.gather(candidates.detach().to(dtype), pairs.counts)
        self.scale = logit_scale.detach().to(dtype).exp()
        self.anchor_gradient = torch.empty_like(self.anchors)
        self.candidate_gradient = torch.zeros_like(self.candidates)
        self.scale_gradient = self.anchors.new_zeros(())

    def logits(self, rows: slice) -> Tensor:
        """Return the scaled similarities [rows, B]."""
        return self.scale * (self.anchors[rows] @ self.candidates.T)

    def backward(self, rows: slice, gradient: Tensor, logits: Tensor) -> None:
        """Propagate the gradient [rows, B] of the loss with respect to these logits [rows, B]."""
        self.anchor_gradient[rows] = self.scale * (gradient @ self.candidates)
        self.candidate_gradient += self.scale * (gradient.T @ self.anchors[rows])
        self.scale_gradient += (gradient * logits).sum()

    def own_candidates(self) -> Tensor:
        """Return the gradient [b, d] of this process's candidates, summed over all processes."""
        return self.pairs.world.sum(self.candidate_gradient)[self.pairs.own]


def at_least_float32(embeddings: Tensor) -> torch.dtype:
    """Return the number format of logits and loss for embeddings [B, d]."""
    return torch.promote_types(embeddings.dtype, torch.float32)
