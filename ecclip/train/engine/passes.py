"""One tower's two passes over the micro-batches of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

from ecclip.train.config import Precision

_REDUCED = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Passes:
    """Embeds every micro-batch, then embeds each again and propagates its gradient backward; calls are repeatable.

    Args:
        encode: rows of the batch to embeddings [rows, d].
        device: of the batch.
        precision: number format of the tower.
        seed: rows to the numbers that seed the generators, if the tower draws; a tower that does not draw must leave
            them alone: the other tower may be drawing in another thread.
    """

    def __init__(
        self,
        encode: Callable[[slice], Tensor],
        device: torch.device,
        precision: Precision,
        seed: Callable[[slice], tuple[int, ...]] | None,
    ) -> None:
        self._encode, self._device, self._seed = encode, device, seed
        self._reduced = _REDUCED.get(precision)
        self._graph: Tensor | None = None

    def embed(self, micro_batches: Sequence[slice]) -> Tensor:
        """Return the embeddings of all micro-batches, [B, d], without a graph.

        The last micro-batch keeps its graph, the one that fits, so that it is embedded only once.
        """
        with torch.no_grad():
            embedded = [self._embed(rows) for rows in micro_batches[:-1]]
        with torch.enable_grad():
            self._graph = self._embed(micro_batches[-1])
        return torch.cat([*embedded, self._graph.detach()])

    def backward(self, micro_batches: Sequence[slice], gradient: Tensor, loss_scale: float) -> None:
        """Propagate ``gradient`` [B, d] of all embeddings backward into the parameters' ``grad``."""
        for rows in reversed(micro_batches):
            output, self._graph = self._graph, None
            if output is None:
                with torch.enable_grad():
                    output = self._embed(rows)
            if output.requires_grad:
                part = gradient[rows]
                output.backward((part * loss_scale if loss_scale != 1.0 else part).to(output.dtype))
            del output  # its graph must be gone before the next one grows

    def _embed(self, rows: slice) -> Tensor:
        reduced = torch.autocast(self._device.type, self._reduced or torch.bfloat16, enabled=self._reduced is not None)
        with nullcontext() if self._seed is None else _seeded(self._seed(rows), self._device), reduced:
            return self._encode(rows)


@contextmanager
def _seeded(seed: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Seed torch's generators by a pure function of ``seed`` and put them back afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        number = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)
        # torch.manual_seed also visits every kind of accelerator: 0.3 ms per micro-batch
        torch.default_generator.manual_seed(number)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield
