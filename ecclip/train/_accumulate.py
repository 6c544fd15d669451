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
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ecclip.model import Towers
from ecclip.train._config import Labels
from ecclip.train._lanes import Lanes, one_lane
from ecclip.train._loss import LossGradients, contrastive_gradients


@dataclass(frozen=True)
class Batch:
    """Pixels uint8 [B, 3, S, S], ids and mask int64 [B, T], groups int64 [B]."""

    pixels: Tensor
    ids: Tensor
    mask: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

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
    precision: Literal["float32", "bfloat16"] = "float32",
    lanes: Lanes = one_lane,
) -> Tensor:
    """Add the gradients of a batch to every parameter of the towers and return the loss (detached scalar).

    Args:
        towers: in training mode if dropout is wanted.
        batch: on the towers' device.
        stream_size: pairs whose activations exist at once; the gradients do not depend on it but for dropout masks.
        labels: see :func:`contrastive_gradients`.
        seed: randomness of stream k is a pure function of ``(*seed, k)``, so both passes draw the same dropout.
        precision: number format of the encoders.
        lanes: how the work of the two towers is called.
    """
    streams = [slice(start, start + stream_size) for start in range(0, len(batch), stream_size)]
    encode = _Encoder(towers, batch, seed, precision, lanes)
    if len(streams) == 1:
        image, text = encode(streams[0], 0)
        result = _loss(towers, image, text, batch, labels)
        _send_back(image, text, result, slice(None), lanes)
    else:
        with torch.no_grad():
            embedded = [encode(rows, number) for number, rows in enumerate(streams[:-1])]
        last = encode(streams[-1], len(streams) - 1)  # the one graph that fits: this stream is embedded only once
        image, text = (torch.cat(parts).detach() for parts in zip(*embedded, last, strict=True))
        result = _loss(towers, image, text, batch, labels)
        _send_back(*last, result, streams[-1], lanes)
        del last
        for number, rows in enumerate(streams[:-1]):
            _send_back(*encode(rows, number), result, rows, lanes)
    scale = towers.logit_scale
    if scale.requires_grad:
        gradient = result.logit_scale.to(scale.dtype)
        scale.grad = gradient if scale.grad is None else scale.grad + gradient
    return result.loss


class _Encoder:
    """Embeds one stream; equal calls give equal embeddings."""

    def __init__(self, towers: Towers, batch: Batch, seed: tuple[int, ...], precision: str, lanes: Lanes) -> None:
        self.towers, self.batch, self.seed, self.lanes = towers, batch, seed, lanes
        self.reduced = precision == "bfloat16"

    def __call__(self, rows: slice, number: int) -> tuple[Tensor, Tensor]:
        part = self.batch.part(rows)
        device = part.pixels.device

        def in_mode(encode: Callable[..., Tensor], graph: bool, *inputs: Tensor) -> Tensor:
            # both modes belong to the thread
            with torch.set_grad_enabled(graph), torch.autocast(device.type, torch.bfloat16, enabled=self.reduced):
                return encode(*inputs)

        graph = torch.is_grad_enabled()
        with _seeded((*self.seed, number), device):
            return self.lanes(
                partial(in_mode, self.towers.encode_image, graph, part.pixels),
                partial(in_mode, self.towers.encode_text, graph, part.ids, part.mask),
            )


def _loss(towers: Towers, image: Tensor, text: Tensor, batch: Batch, labels: Labels) -> LossGradients:
    return contrastive_gradients(image, text, towers.logit_scale, batch.groups, labels)


def _send_back(image: Tensor, text: Tensor, result: LossGradients, rows: slice, lanes: Lanes) -> None:
    lanes(
        partial(_backward, image, result.image[rows]),
        partial(_backward, text, result.text[rows]),
    )


def _backward(output: Tensor, gradient: Tensor) -> None:
    if output.requires_grad:
        output.backward(gradient.to(output.dtype))


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
