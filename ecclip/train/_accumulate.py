"""Exact gradients of a large batch from small streams, the temperature and dropout included.

Pass 1 embeds every stream without a graph, but for the last one; the loss and its gradient for the embeddings are taken
once, over the whole batch; pass 2 embeds the other streams again and sends each its part of that gradient back (Gao et
al. 2021, GradCache).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ecclip.model import Towers
from ecclip.train._budget import Budget
from ecclip.train._config import Labels, Loss, Precision
from ecclip.train._lanes import Lanes, one_lane
from ecclip.train._loss import contrastive_gradients
from ecclip.train._sigmoid_loss import sigmoid_gradients
from ecclip.train._similarity import LossGradients
from ecclip.train._world import ALONE, World

_REDUCED = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Batch:
    """Pixels uint8 [B, 3, S, S], ids and mask int64 [B, T], groups int64 [B]."""

    pixels: Tensor
    ids: Tensor
    mask: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def lengths(self) -> list[int]:
        """Return the number of tokens of every text, padding after it left out."""
        position = torch.arange(1, self.mask.shape[1] + 1, device=self.mask.device)
        return (self.mask.ne(0) * position).amax(dim=1).clamp(min=1).tolist()

    def part(self, rows: slice) -> Batch:
        """Return some rows of the batch."""
        return Batch(self.pixels[rows], self.ids[rows], self.mask[rows], self.groups[rows])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        names = ("pixels", "ids", "mask", "groups")
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in names))


def accumulate_gradients(
    towers: Towers,
    batch: Batch,
    *,
    stream_size: int,
    labels: Labels,
    seed: tuple[int, ...],
    precision: Precision = "float32",
    stream_tokens: int | None = None,
    loss: Loss = "softmax",
    loss_scale: float = 1.0,
    world: World = ALONE,
    lanes: Lanes = one_lane,
) -> Tensor:
    """Leave the gradients of a batch in every parameter of the towers and return the loss (detached scalar).

    Gradients that were there before are dropped, so that a call that ran out of memory can be made again.

    Args:
        towers: in training mode if dropout is wanted; with a logit bias for the sigmoid loss.
        batch: on the towers' device; of several processes each has its rows, in order.
        stream_size: most pairs whose activations exist at once; the gradients do not depend on it but for dropout.
        labels: see :func:`contrastive_gradients` and :func:`sigmoid_gradients`.
        seed: randomness of a stream is a pure function of ``seed`` and its first row in the whole batch: both passes
            draw the same dropout, and so do any processes whose streams begin and end at the same rows.
        precision: number format of the encoders.
        stream_tokens: most tokens of a stream, padding included.
        loss: which of the two losses.
        loss_scale: factor on the gradients while they are in the encoders' format; a power of two.
        world: the processes that hold the rows of the batch; the gradients are summed over them once.
        lanes: how the work of the two towers is called.
    """
    towers.zero_grad(set_to_none=True)
    lengths = batch.lengths()
    streams = Budget(stream_size, stream_tokens).streams(lengths)
    first = sum(world.counts(len(batch))[: world.rank])
    encode = _Encoder(towers, batch, lengths, (seed, first), precision, lanes)
    graphs: list[tuple[Tensor, Tensor]] = []

    def embed() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            embedded = [encode(rows) for rows in streams[:-1]]
        graphs.append(encode(streams[-1]))  # the one graph that fits: this stream is embedded only once
        image, text = (torch.cat(parts).detach() for parts in zip(*embedded, graphs[0], strict=True))
        return image, text

    image, text = world.together(embed)
    result = _loss(towers, image, text, batch.groups, labels, loss, world)

    def send_back() -> None:
        for rows in reversed(streams):
            embeddings = graphs.pop() if graphs else encode(rows)
            _send_back(embeddings, (result.image[rows], result.text[rows]), loss_scale, lanes)

    world.together(send_back)
    _unscale(towers, loss_scale)
    for scalar, gradient in ((towers.logit_scale, result.logit_scale), (towers.logit_bias, result.logit_bias)):
        if scalar is not None and gradient is not None and scalar.requires_grad:
            scalar.grad = gradient.to(scalar.dtype)
    world.sum_gradients(towers.parameters())
    return result.loss


class _Encoder:
    """Embeds one stream; equal calls give equal embeddings."""

    def __init__(
        self,
        towers: Towers,
        batch: Batch,
        lengths: list[int],
        seed: tuple[tuple[int, ...], int],
        precision: Precision,
        lanes: Lanes,
    ) -> None:
        self.towers, self.batch, self.lengths, self.lanes = towers, batch, lengths, lanes
        self.seed, self.first = seed
        self.reduced = _REDUCED.get(precision)

    def __call__(self, rows: slice) -> tuple[Tensor, Tensor]:
        part, width = self.batch.part(rows), max(self.lengths[rows])
        device = part.pixels.device
        # cut to the stream's own longest text: what a stream computes depends on its rows alone
        ids, mask = part.ids[:, :width], part.mask[:, :width]
        graph = torch.is_grad_enabled()

        def in_mode(encode: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
            # both modes belong to the thread
            reduced = torch.autocast(device.type, self.reduced or torch.bfloat16, enabled=self.reduced is not None)
            with torch.set_grad_enabled(graph), reduced:
                return encode(*inputs)

        with _seeded((*self.seed, self.first + rows.start), device):
            return self.lanes(
                partial(in_mode, self.towers.encode_image, part.pixels),
                partial(in_mode, self.towers.encode_text, ids, mask),
            )


def _loss(
    towers: Towers, image: Tensor, text: Tensor, groups: Tensor, labels: Labels, loss: Loss, world: World
) -> LossGradients:
    if loss == "softmax":
        return contrastive_gradients(image, text, towers.logit_scale, groups, labels, world=world)
    if towers.logit_bias is None:
        raise ValueError("the sigmoid loss needs towers with a logit bias: call add_logit_bias() first")
    return sigmoid_gradients(image, text, towers.logit_scale, towers.logit_bias, groups, labels, world=world)


def _send_back(
    embeddings: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor], loss_scale: float, lanes: Lanes
) -> None:
    def backward(output: Tensor, gradient: Tensor) -> None:
        if output.requires_grad:
            output.backward((gradient * loss_scale if loss_scale != 1.0 else gradient).to(output.dtype))

    image, text = (partial(backward, *pair) for pair in zip(embeddings, gradients, strict=True))
    lanes(image, text)


def _unscale(towers: Towers, loss_scale: float) -> None:
    if loss_scale != 1.0:
        for parameter in towers.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(1.0 / loss_scale)


@contextmanager
def _seeded(seed: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Seed torch's generators by a pure function of ``seed`` and put them back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        number = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
        # torch.manual_seed also visits every kind of accelerator: 0.3 ms a stream
        torch.default_generator.manual_seed(number)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield
