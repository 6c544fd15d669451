"""A plain twin of open_clip's training step, for machines on which the package cannot be installed.

The same towers, the same two passes with K forward passes and K losses over the whole batch
(``open_clip_train/train.py`` 3.3, ``--accum-freq``); figures against it say so.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecclip.bench.training.ours import Precision
from ecclip.model import Towers
from ecclip.train import Batch, OptimizerConfig


class Twin:
    """open_clip's step in plain torch.

    Args:
        towers: trained in place; their frozen parameters stay frozen.
        optimizer: rates, decay and clipping.
        precision: of the encoders.
    """

    name = "twin of open_clip's step"

    def __init__(self, towers: Towers, optimizer: OptimizerConfig, precision: Precision = "float32") -> None:
        self.towers, self.cfg, self.reduced = towers.train(True), optimizer, precision == "bfloat16"
        trained = [parameter for parameter in towers.parameters() if parameter.requires_grad]
        vectors, matrices = [p for p in trained if p.ndim < 2], [p for p in trained if p.ndim >= 2]
        groups = [
            {"params": vectors, "weight_decay": 0.0},
            {"params": matrices, "weight_decay": optimizer.weight_decay},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=optimizer.tower_learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True
        )

    def use(self, batch: Batch) -> None:
        """Set the batch."""
        self.batch = batch

    def step(self, micro_batches: int) -> None:
        """Take one step with ``micro_batches`` parts."""
        batch = self.batch
        self.optimizer.zero_grad()
        size = -(-len(batch) // micro_batches)
        parts = [batch.part(slice(start, start + size)) for start in range(0, len(batch), size)]
        if len(parts) == 1:
            with self._autocast():
                loss = clip_loss(*self._embed(batch), self.towers.logit_scale.exp())
            loss.backward()
        else:
            self._accumulate(parts)
        nn.utils.clip_grad_norm_(self.towers.parameters(), self.cfg.clip_norm, norm_type=2.0)
        self.optimizer.step()
        with torch.no_grad():
            self.towers.logit_scale.clamp_(0, math.log(100))

    def forget(self) -> None:
        """Drop the gradients of the last step."""
        self.optimizer.zero_grad()

    def _accumulate(self, parts: list[Batch]) -> None:
        with torch.no_grad(), self._autocast():
            cached = [self._embed(part) for part in parts]
        for number, part in enumerate(parts):
            with self._autocast():
                live = self._embed(part)
                image, text = (
                    torch.cat(
                        [*(c[side] for c in cached[:number]), live[side], *(c[side] for c in cached[number + 1 :])]
                    )
                    for side in (0, 1)
                )
                loss = clip_loss(image, text, self.towers.logit_scale.exp())
            loss.backward()

    def _embed(self, part: Batch) -> tuple[Tensor, Tensor]:
        embeddings: tuple[Tensor, Tensor] = self.towers(part.pixels, part.ids, part.mask)
        return embeddings

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.towers.logit_scale.device.type, torch.bfloat16, enabled=self.reduced)


def clip_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric cross entropy with the whole matrix held, as ``open_clip.ClipLoss`` takes it."""
    per_image, per_text = scale * image @ text.T, scale * text @ image.T
    labels = torch.arange(len(image), device=image.device)
    return (functional.cross_entropy(per_image, labels) + functional.cross_entropy(per_text, labels)) / 2
