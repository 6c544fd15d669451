"""Exact gradients of a large batch from small micro-batches, the temperature and dropout included.

Pass 1 embeds every micro-batch without a graph, except the last one; the loss and its gradient with respect to the
embeddings are computed once, over the whole batch; pass 2 embeds the other micro-batches again and propagates each
one's part of that gradient backward (GradCache: Gao et al., 2021, https://arxiv.org/abs/2101.06983).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ecclip.model import Towers, text_lengths
from ecclip.train.config import Loss, Precision
from ecclip.train.distributed.world import SINGLE_PROCESS, World
from ecclip.train.engine.budget import Budget
from ecclip.train.engine.passes import Passes
from ecclip.train.engine.tower_executor import TowerExecutor, run_sequentially, vision_draws
from ecclip.train.loss.contrastive import contrastive_gradients
from ecclip.train.loss.labels import Labels
from ecclip.train.loss.sigmoid import sigmoid_gradients
from ecclip.train.loss.similarity import LossGradients


@dataclass(frozen=True)
class Batch:
    """Pixels uint8 [B, 3, S, S], ids and mask int64 [B, T], groups int64 [B].

    ``certainty`` float32 [B] says how sure it is that a pair belongs to its group; None: certain.
    """

    pixels: Tensor
    ids: Tensor
    mask: Tensor
    groups: Tensor
    certainty: Tensor | None = None

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def lengths(self) -> list[int]:
        """Return the number of tokens of every text, excluding padding."""
        return text_lengths(self.mask).tolist()

    def part(self, rows: slice) -> Batch:
        """Return some rows of the batch."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        certainty = None if self.certainty is None else change(self.certainty)
        return Batch(change(self.pixels), change(self.ids), change(self.mask), change(self.groups), certainty)


def accumulate_gradients(
    towers: Towers,
    batch: Batch,
    *,
    micro_batch_size: int,
    labels: Labels,
    seed: tuple[int, ...],
    precision: Precision = "float32",
    micro_batch_tokens: int | None = None,
    loss: Loss = "softmax",
    loss_scale: float = 1.0,
    world: World = SINGLE_PROCESS,
    executor: TowerExecutor = run_sequentially,
) -> Tensor:
    """Leave the gradients of a batch in every parameter of the towers and return the loss, a detached scalar [].

    The activations of one micro-batch exist at a time: embeddings are computed without gradients, then the loss's
    gradients in them are backpropagated micro-batch by micro-batch (gradient cache, Gao et al. 2021, section 3).

    Gradients that were there before are dropped, so that a call that ran out of memory can be made again.

    Args:
        towers: in training mode if dropout is wanted; with a logit bias for the sigmoid loss.
        batch: on the towers' device; of several processes each has its rows, in order.
        micro_batch_size: largest number of pairs whose activations exist at once; the gradients depend on it through
            dropout alone.
        labels: what counts as a match within a group; :class:`Labels` has the formulas.
        seed: randomness of a micro-batch is a pure function of ``seed`` and its first row in the whole batch: both
            passes draw the same dropout, and so do any processes whose micro-batches begin and end at the same rows.
        precision: number format of the encoders.
        micro_batch_tokens: largest number of tokens of a micro-batch, padding included.
        loss: which of the two losses.
        loss_scale: factor on the gradients while they are in the encoders' format; a power of two.
        world: the processes that hold the rows of the batch; the gradients are summed over them once.
        executor: how the work of the two towers is called.
    """
    towers.zero_grad(set_to_none=True)
    lengths = batch.lengths()
    micro_batches = Budget(micro_batch_size, micro_batch_tokens).micro_batches(lengths)
    first = sum(world.counts(len(batch))[: world.rank])
    image, text = _passes(towers, batch, lengths, (seed, first), precision)
    embeddings = world.together(
        lambda: executor(partial(image.embed, micro_batches), partial(text.embed, micro_batches))
    )
    result = _loss(towers, *embeddings, batch, labels, loss, world)
    world.together(
        lambda: executor(
            partial(image.backward, micro_batches, result.image, loss_scale),
            partial(text.backward, micro_batches, result.text, loss_scale),
        )
    )
    _unscale(towers, loss_scale)
    for scalar, gradient in ((towers.logit_scale, result.logit_scale), (towers.logit_bias, result.logit_bias)):
        if scalar is not None and gradient is not None and scalar.requires_grad:
            scalar.grad = gradient.to(scalar.dtype)
    world.sum_gradients(towers.parameters())
    return result.loss


def _passes(
    towers: Towers, batch: Batch, lengths: list[int], seed: tuple[tuple[int, ...], int], precision: Precision
) -> tuple[Passes, Passes]:
    def encode_image(rows: slice) -> Tensor:
        return towers.encode_image(batch.pixels[rows])

    def encode_text(rows: slice) -> Tensor:
        # cut to its longest text, so that the result of a micro-batch depends on its rows alone
        width = max(lengths[rows])
        return towers.encode_text(batch.ids[rows, :width], batch.mask[rows, :width])

    def seed_of(tower: int, rows: slice) -> tuple[int, ...]:
        return (*seed[0], seed[1] + rows.start, tower)

    device = batch.pixels.device
    image_seed = partial(seed_of, 0) if vision_draws(towers) else None
    return (
        Passes(encode_image, device, precision, image_seed),
        Passes(encode_text, device, precision, partial(seed_of, 1)),
    )


def _loss(
    towers: Towers, image: Tensor, text: Tensor, batch: Batch, labels: Labels, loss: Loss, world: World
) -> LossGradients:
    told: dict[str, Any] = {"groups": batch.groups, "labels": labels, "certainty": batch.certainty, "world": world}
    if loss == "softmax":
        return contrastive_gradients(image, text, towers.logit_scale, **told)
    if towers.logit_bias is None:
        raise ValueError("the sigmoid loss needs towers with a logit bias: call add_logit_bias() first")
    return sigmoid_gradients(image, text, towers.logit_scale, towers.logit_bias, **told)


def _unscale(towers: Towers, loss_scale: float) -> None:
    if loss_scale != 1.0:
        for parameter in towers.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(1.0 / loss_scale)
