"""Several processes that train together: gloo on CPUs, NCCL on GPUs.

Every process computes its own rows of a batch; they exchange the text embeddings, the normalisers, the gradients of
the text embeddings, and once per step the gradients of the parameters. No wrapper around the towers is needed for that.

A process that dies closes its connections: the others get an error in the exchange they are waiting in, at the latest
after the timeout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ecclip.train.distributed.world import World
from ecclip.train.engine.budget import is_out_of_memory

T = TypeVar("T")
_BUCKET_BYTES = 32 * 1024 * 1024  # of one all-reduce; near DistributedDataParallel's 25 MiB


class Processes(World):
    """One of several processes; see :class:`World`.

    Decisions use gloo even where tensors use NCCL, so that they need not wait for the device.
    """

    def __init__(self, timeout: timedelta) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._decisions: Any = dist.new_group(backend="gloo", timeout=timeout)

    def counts(self, rows: int) -> list[int]:
        """See :meth:`World.counts`."""
        return [int(value) for value in self._every(rows)]

    def together(self, work: Callable[[], T]) -> T:
        """See :meth:`World.together`; every process gets the error of any."""
        result: T | None = None
        failed = False
        try:
            result = work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        if self.any(failed):
            raise MemoryError("one of the processes is out of memory")
        return result  # type: ignore[return-value]

    def gather(self, part: Tensor, counts: list[int]) -> Tensor:
        """See :meth:`World.gather`; shorter parts travel padded."""
        most = max(counts)
        padded = part.new_zeros(most, *part.shape[1:])
        padded[: len(part)] = part
        every = self.stack(padded)
        return torch.cat([rows[:count] for rows, count in zip(every, counts, strict=True)])

    def stack(self, value: Tensor) -> Tensor:
        """See :meth:`World.stack`."""
        every = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(every, value.contiguous())
        return torch.stack(every)

    def sum(self, value: Tensor) -> Tensor:
        """See :meth:`World.sum`."""
        total = value.clone()
        dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """See :meth:`World.sum_gradients`; many small gradients travel in one bucket."""
        for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            dist.all_reduce(flat)
            for gradient, total in zip(bucket, flat.split([part.numel() for part in bucket]), strict=True):
                gradient.copy_(total.view(gradient.shape))

    def any(self, flag: bool) -> bool:
        """See :meth:`World.any`."""
        value = torch.tensor([int(flag)])
        dist.all_reduce(value, dist.ReduceOp.MAX, group=self._decisions)
        return bool(value.item())

    def from_first(self, value: int) -> int:
        """See :meth:`World.from_first`."""
        return int(self._every(value)[0])

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """See :meth:`World.copy_from_first`."""
        for tensor in tensors:
            dense = tensor.detach().contiguous()
            dist.broadcast(dense, 0)
            tensor.detach().copy_(dense)

    def _every(self, value: int) -> Tensor:
        every = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(every, torch.tensor([value]), group=self._decisions)
        return torch.cat(every)


@contextmanager
def join_processes(
    device: torch.device, timeout_s: float, *, init_method: str = "env://", rank: int = -1, size: int = -1
) -> Iterator[Processes]:
    """Join the process group and leave it at the end.

    Args:
        device: that this process computes on.
        timeout_s: longest wait for the others in one exchange; validation by the first process must fit into it.
        init_method: rendezvous address; the default reads torchrun's environment.
        rank: number of this process, if not from the environment.
        size: number of processes, if not from the environment.
    """
    timeout = timedelta(seconds=timeout_s)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=init_method, rank=rank, world_size=size, timeout=timeout)
    try:
        yield Processes(timeout)
    finally:
        dist.destroy_process_group()


def own_device(device: str) -> torch.device:
    """Return the device of this process: of several GPUs of a machine the one with its local number."""
    chosen = torch.device(device)
    return torch.device("cuda", int(os.environ["LOCAL_RANK"])) if chosen.type == "cuda" else chosen


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Cut the gradients into buckets of one number format and a bounded size, in order."""
    bucket: list[Tensor] = []
    room = 0
    for gradient in gradients:
        needed = gradient.numel() * gradient.element_size()
        if bucket and (needed > room or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        if not bucket:
            room = _BUCKET_BYTES
        bucket.append(gradient)
        room -= needed
    if bucket:
        yield bucket
