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
    labels: Labels | str,
    certainty: Tensor | None = None,
) -> Tensor:
    """Return the loss of a batch [B, d], differentiable in everything."""
    same, identity = groups[:, None] == groups[None, :], torch.eye(len(groups), dtype=torch.bool)
    sure = torch.ones_like(image[:, 0]) if certainty is None else certainty.to(image.dtype)
    alike = torch.where(identity, 1.0, sure[:, None] * sure[None, :])  # two listings of one group
    matches = torch.where(same, alike, 0.0) if labels in ("soft", "soft_within") else identity.to(image.dtype)
    taken = {"hard": torch.ones_like(alike), "mask": torch.where(same & ~identity, 0.0, 1.0)}
    shares = taken.get(labels, torch.where(same, alike, 1.0))

    def of(left: Tensor, right: Tensor, *, within: bool) -> Tensor:
        logits = logit_scale.exp() * left @ right.T
        own = identity if within else torch.zeros_like(identity)
        if loss == "sigmoid":
            assert logit_bias is not None
            return _sigmoid(logits + logit_bias, matches, torch.where(own, 0.0, shares))
        if within:
            others = (same.sum(dim=1) - 1).clamp(min=1)
            targets = torch.where(own, 0.0, matches) / others[:, None]
            return _cross_entropy(logits, targets, torch.where(own, 0.0, shares))
        targets = matches / matches.sum(dim=1, keepdim=True)
        return (_cross_entropy(logits, targets, shares) + _cross_entropy(logits.T, targets, shares)) / 2

    across = of(image, text, within=False)
    if labels != "soft_within":
        return across
    return across + (of(image, image, within=True) + of(text, text, within=True)) / 2


def _sigmoid(logits: Tensor, matches: Tensor, shares: Tensor) -> Tensor:
    signs = torch.where(matches > 0, 1.0, -1.0).to(logits.dtype)
    return -(shares * functional.logsigmoid(signs * logits)).sum() / len(logits)


def _cross_entropy(logits: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    taken = torch.where(shares > 0, logits + shares.clamp(min=1e-300).log(), -torch.inf)
    likelihood = torch.where(targets > 0, logits - taken.logsumexp(dim=1, keepdim=True), 0.0)
    return -(targets * likelihood).sum(dim=1).mean()
