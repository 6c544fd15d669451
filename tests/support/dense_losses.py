"""The losses as a textbook writes them: one matrix, autograd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ecclip.train import Labels, Loss


def dense_loss(
    image: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor | None,
    groups: Tensor,
    loss: Loss,
    labels: Labels,
) -> Tensor:
    """Return the loss of a batch [B, d], differentiable in everything."""
    logits = logit_scale.exp() * image @ text.T
    same, identity = groups[:, None] == groups[None, :], torch.eye(len(groups), dtype=torch.bool)
    left_out = same & ~identity if labels == "mask" else torch.zeros_like(same)
    matches = same if labels == "soft" else identity
    if loss == "sigmoid":
        assert logit_bias is not None
        signs = torch.where(matches, 1.0, -1.0).to(logits.dtype)
        losses = -functional.logsigmoid(signs * (logits + logit_bias))
        return torch.where(left_out, 0.0, losses).sum() / len(groups)
    logits = logits.masked_fill(left_out, -torch.inf)
    targets = matches.to(logits.dtype)
    targets = targets / targets.sum(dim=1, keepdim=True)
    return (_cross_entropy(logits, targets) + _cross_entropy(logits.T, targets)) / 2


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    likelihood = torch.where(targets > 0, logits.log_softmax(dim=1), 0.0)
    return -(targets * likelihood).sum(dim=1).mean()
