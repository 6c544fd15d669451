"""Ceilings of a device, and the work of a training step."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ecclip.model import Towers
from ecclip.train import Batch

_FLOP_PAIRS = 4  # pairs whose operations are counted; the count is linear in pairs


def synchronise(device: torch.device) -> None:
    """Wait until the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_ceiling(device: torch.device, side: int, seconds: float) -> list[float]:
    """Return FLOP/s of bfloat16 matrix products [side, side] @ [side, side], some repetitions in so many seconds."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return [2 * side**3 / taken for taken in _repeated(lambda: left @ right, device, seconds)]


def copy_ceiling(device: torch.device, size: int, seconds: float) -> list[float]:
    """Return bytes read and written per second while ``size`` bytes are copied, some repetitions in so many seconds."""
    source = torch.empty(size, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return [2 * size / taken for taken in _repeated(lambda: target.copy_(source), device, seconds)]


def flops_per_pair(towers: Towers, tokens: int) -> float:
    """Return the floating-point operations of one pair's forward and backward pass, a product and a sum counted as two.

    Of matrix products, convolutions and attention; the loss over the batch and what is recomputed are not in it.
    """
    towers.train(True)
    batch = noise(towers, _FLOP_PAIRS, tokens)
    with FlopCounterMode(display=False) as counter:
        image, text = towers(batch.pixels, batch.ids, batch.mask)
        (image.sum() + text.sum()).backward()
    towers.zero_grad(set_to_none=True)
    return float(counter.get_total_flops()) / _FLOP_PAIRS


def noise(towers: Towers, pairs: int, tokens: int) -> Batch:
    """Return a batch of noise on the towers' device, every token of every text in use."""
    device, side = towers.logit_scale.device, towers.cfg.image_size
    chance = torch.Generator(device).manual_seed(0)
    pixels = torch.randint(0, 256, (pairs, 3, side, side), generator=chance, device=device, dtype=torch.uint8)
    words = int(towers.text_encoder.tower.config.vocab_size)  # type: ignore[union-attr, arg-type]
    ids = torch.randint(1, words, (pairs, tokens), generator=chance, device=device)
    return Batch(pixels, ids, torch.ones_like(ids), torch.arange(pairs, device=device))


def peak_memory(device: torch.device, work: Callable[[], object]) -> int:
    """Return the most bytes of the device that tensors held during some work; 0 on a CPU, where they are not
    counted."""
    if device.type != "cuda":
        work()
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device)


def _repeated(work: Callable[[], Tensor], device: torch.device, seconds: float, repetitions: int = 5) -> list[float]:
    """Return seconds of one call, ``repetitions`` times the mean over as many calls as fill the time."""
    calls = 1
    while _timed(work, device, calls) <= seconds / repetitions / 2:
        calls *= 2
    return [_timed(work, device, calls) / calls for _ in range(repetitions)]


def _timed(work: Callable[[], Tensor], device: torch.device, calls: int) -> float:
    synchronise(device)
    started = time.perf_counter()
    for _ in range(calls):
        work()
    synchronise(device)
    return time.perf_counter() - started
