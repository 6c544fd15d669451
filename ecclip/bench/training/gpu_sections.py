"""The sections of the GPU benchmark."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ecclip.bench.listings import write_shards
from ecclip.bench.measure import taking_turns
from ecclip.bench.result import Result
from ecclip.bench.training import device as measure
from ecclip.bench.training.gpu_sizes import GpuSizes, gpu_towers, write_tokenizer
from ecclip.bench.training.ours import Ours, System
from ecclip.bench.training.tasks import TimedLoader
from ecclip.bench.training.twin import Twin
from ecclip.formats.snapshot import SHARDS
from ecclip.model import Towers, build_towers
from ecclip.train import Batch, OptimizerConfig, SamplerConfig, Trainer, TrainerConfig, open_pairs

_OPTIMIZER = OptimizerConfig(freeze=())
_GIB, _TERA = 2**30, 1e12  # bytes; operations
_PHOTOS = 512  # different ones; drawing more takes longer than training on them


class GpuBenchmark:
    """What is measured on a card, section by section.

    Args:
        sizes: towers, batches, repetitions.
        device: that trains.
        result: gets the figures.
        folder: for the tokenizer, the made-up shards and open_clip's description of the towers.
        reproducible: ecclip's kernels give equal bits in every run, as in its trainer; the peer's never do.
    """

    def __init__(
        self, sizes: GpuSizes, device: torch.device, result: Result, folder: Path, *, reproducible: bool
    ) -> None:
        self.sizes, self.device, self.result, self.folder = sizes, device, result, folder
        self.reproducible = reproducible
        self.ceiling = 0.0
        write_tokenizer(folder / "tokenizer.json", int(sizes.text["vocab_size"]))

    def ceilings(self) -> None:
        """Measure what the card does at best."""
        products = measure.matmul_ceiling(self.device, self.sizes.matmul_side, self.sizes.ceiling_seconds)
        what = f"bfloat16 matrix product, {self.sizes.matmul_side:,} square"
        self.ceiling = _TERA * self.result.add(what, "ceiling", "TFLOP/s", [value / _TERA for value in products])
        copies = measure.copy_ceiling(self.device, self.sizes.copy_bytes, self.sizes.ceiling_seconds)
        what = f"copy of {self.sizes.copy_bytes / _GIB:.3g} GiB on the device, read and written"
        self.result.add(what, "ceiling", "TB/s", [value / _TERA for value in copies])

    def steps(self, tokens: int, *, compiled: bool) -> None:
        """Measure plain and accumulated steps of both systems."""
        towers = [self._towers(tokens) for _ in range(2)]
        label = f"{tokens} tokens{', compiled' if compiled else ''}"
        flops = measure.flops_per_pair(towers[0], tokens)
        self.result.add(f"forward and backward of a pair, {label}", "both", "GFLOP", [flops / 1e9])
        ours = Ours(
            towers[0],
            _OPTIMIZER,
            threads=torch.get_num_threads(),
            precision="bfloat16",
            reproducible=self.reproducible,
        )
        systems: list[System] = [ours, self._peer(towers[1])]
        if compiled:
            for module in (towers[0], getattr(systems[1], "model", towers[1])):
                _compile(module)
        plain_batch, effective = self.sizes.plain_batch, self.sizes.effective_batch
        plain = self._speed(systems, plain_batch, 1, label, flops)
        accumulated = self._speed(systems, effective, effective // plain_batch, label, flops)
        if tokens == self.sizes.tokens[0] and plain[0] > self.result.headline.get("pairs_per_second_plain", 0.0):
            self.result.head(
                pairs_per_second_plain=plain[0],
                pairs_per_second_accumulated=accumulated[0],
                ratio_open_clip=plain[0] / plain[1],
            )

    def loader(self) -> None:
        """Train from JPEG shards through the real loader."""
        sizes = self.sizes
        towers = self._towers(sizes.tokens[0])
        write_shards(self.folder / SHARDS, sizes.loader_pairs, photos=min(_PHOTOS, sizes.loader_pairs))
        pairs = open_pairs(self.folder / SHARDS, self.folder / "scratch")
        cfg = TrainerConfig(
            micro_batch_size=sizes.loader_batch,
            precision="bfloat16",
            checkpoint_every=10**6,
            workers=sizes.workers,
            sampler=SamplerConfig(batch_size=sizes.loader_batch),
            optimizer=_OPTIMIZER,
        )
        trainer = Trainer(
            towers, pairs, towers.preprocessor(), cfg, self.folder / "steps", threads=torch.get_num_threads()
        )
        trainer.loader = timed = TimedLoader(pairs, towers.preprocessor(), cfg.augment, cfg.seed, cfg.workers)
        trainer.run()
        pairs.close()
        figures = timed.figures()
        what = f"training from JPEG shards, {sizes.workers} threads, batch {sizes.loader_batch}"
        self.result.add(what, "ecclip", "pairs/s", [figures["pairs_per_second"]])
        self.result.add("of it waiting for the loader", "ecclip", "share", [figures["wait_share"]])
        self.result.add("decoding there", "ecclip", "pairs/s a thread", [figures["decoded_per_second"]])

    def _towers(self, tokens: int) -> Towers:
        return build_towers(gpu_towers(self.sizes, tokens, self.folder / "tokenizer.json")).to(self.device)

    def _peer(self, towers: Towers) -> System:
        if importlib.util.find_spec("open_clip_train"):
            from ecclip.bench.training.peer import OpenClip

            return OpenClip(towers, _OPTIMIZER, self.folder, "bfloat16")
        return Twin(towers, _OPTIMIZER, "bfloat16")

    def _speed(self, systems: list[System], pairs: int, micro_batches: int, label: str, flops: float) -> list[float]:
        """Return pairs per second of every system on one effective batch, and enter them."""
        batch = measure.noise(systems[0].towers, pairs, systems[0].towers.cfg.max_tokens)
        found = [self._fitting(system, batch, micro_batches) for system in systems]
        steps = {
            system.name: partial(self._step, system, fitting)
            for system, (fitting, _) in zip(systems, found, strict=True)
        }
        seconds = taking_turns(steps, self.sizes.repetitions, warm_up=0)
        speeds = []
        for system, (fitting, peak) in zip(systems, found, strict=True):
            what = f"step of {pairs:,} pairs, K={fitting}, {label}"
            speeds.append(self.result.add(what, system.name, "pairs/s", [pairs / s for s in seconds[system.name]]))
            if self.ceiling:
                share = [pairs / s * flops / self.ceiling for s in seconds[system.name]]
                self.result.add(f"share of the matrix ceiling, {what}", system.name, "share", share)
            if peak:
                self.result.add(f"peak memory, {what}", system.name, "GiB", [peak / _GIB])
        return speeds

    def _fitting(self, system: System, batch: Batch, micro_batches: int) -> tuple[int, int]:
        """Return the number of micro-batches that fits into memory, found by doubling, and the step's peak bytes."""
        while True:
            try:
                system.use(batch)
                self._step(system, micro_batches)  # brings in moments, kernels, compiled code
                return micro_batches, measure.peak_memory(self.device, partial(self._step, system, micro_batches))
            except torch.OutOfMemoryError:
                if 2 * micro_batches > len(batch):
                    raise
            system.forget()
            torch.cuda.empty_cache()
            micro_batches *= 2

    def _step(self, system: System, micro_batches: int) -> None:
        system.step(micro_batches)
        measure.synchronise(self.device)


def _compile(module: nn.Module) -> None:
    """Compile both encoders in place, of our towers or of open_clip's model."""
    for name in ("image_encoder", "text_encoder", "visual", "text"):
        encoder = getattr(module, name, None)
        if isinstance(encoder, nn.Module):
            encoder.compile()
