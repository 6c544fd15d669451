"""A cross-encoder: a text tower that reads the texts of two listings as one sequence and says whether they match."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from ecclip.model import TextEncoder

_SPREAD = 0.02  # of the last layer's first weights, as in BERT (Devlin et al. 2019)


class CrossEncoder(nn.Module):
    """A copy of a text encoder, and a linear layer on what its tower gives before the projection.

    It has no dropout: nothing then draws from torch's only generator, and several learn at once with equal bits.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).float().requires_grad_(True)
        self.encoder.projection.requires_grad_(False)  # it is not passed
        self.head = nn.Linear(encoder.projection.in_features, 1)
        nn.init.normal_(self.head.weight, std=_SPREAD)
        nn.init.zeros_(self.head.bias)
        self.eval()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the log odds [B] of one product for token ids int64 [B, T] and mask int64 [B, T] of pairs."""
        found: Tensor = self.head(self.encoder.features(ids, mask)).squeeze(1)
        return found
