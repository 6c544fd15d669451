"""Rows of the similarity matrix of a batch on demand: what both losses are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ecclip.train.config import Labels
from ecclip.train.distributed.world import World

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


class Similarities:
    """The rows of this process's images against the texts of the whole batch, in at least float32.

    Args:
        image: [b, d] of length 1.
        text: [b, d] of length 1.
        logit_scale: logarithm of the factor on the similarities, scalar.
        groups: int64 [b].
        labels: what counts as a match inside a group.
        world: the processes that hold the other rows.
    """

    def __init__(
        self, image: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor, labels: Labels, world: World
    ) -> None:
        dtype = torch.promote_types(image.dtype, torch.float32)
        self.counts = world.counts(len(image))
        self.first = sum(self.counts[: world.rank])
        self.own = slice(self.first, self.first + len(image))
        self.image, self.text = image.detach().to(dtype), world.gather(text.detach().to(dtype), self.counts)
        self.scale = logit_scale.detach().to(dtype).exp()
        self.groups, self.labels = world.gather(groups, self.counts), labels
        self.size = len(self.groups)

    def blocks(self, block_rows: int) -> list[slice]:
        """Cut the rows of this process into blocks."""
        rows = len(self.image)
        return [slice(start, min(start + block_rows, rows)) for start in range(0, rows, block_rows)]

    def logits(self, rows: slice) -> Tensor:
        """Return the scaled similarities [rows, B]."""
        return self.scale * (self.image[rows] @ self.text.T)

    def same_group(self, rows: slice) -> Tensor:
        """Return bool [rows, B]: which texts show the product of the image's group."""
        return self.groups[self._global(rows), None] == self.groups[None, :]

    def identity(self, rows: slice) -> Tensor:
        """Return bool [rows, B]: which text belongs to the image."""
        index = torch.arange(self.size, device=self.groups.device)
        return index[self._global(rows), None] == index[None, :]

    def left_out(self, rows: slice) -> Tensor | None:
        """Return bool [rows, B]: which pairs are neither matches nor negatives; None: there are none."""
        return self.same_group(rows) & ~self.identity(rows) if self.labels == "mask" else None

    def _global(self, rows: slice) -> slice:
        return slice(self.first + rows.start, self.first + rows.stop)
