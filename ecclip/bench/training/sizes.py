"""How much the training benchmark does: in full, or just enough to prove that it works."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecclip.model import PRESETS, TowersConfig
from ecclip.train import OptimizerConfig, SamplerConfig, TrainerConfig


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Towers, batches and repetitions.

    Attributes:
        towers: both systems have them.
        optimizer: rates, clipping, and what is frozen in both systems.
        batch: pairs of a step, equal for all numbers of micro-batches.
        micro_batches: numbers of micro-batches that are timed; 1 is the plain step.
        repetitions: timed steps of every system and number of micro-batches.
        memory_towers: towers of the memory curve, small enough that its largest batch takes seconds.
        memory_batches: effective batches of the memory curve.
        memory_micro_batch: micro-batch size of the memory curve.
        loader_pairs: made-up listings that the loader reads.
        trainer: the training that the loader feeds.
        threads: of the processor, for all systems.
    """

    towers: TowersConfig
    optimizer: OptimizerConfig
    batch: int
    micro_batches: tuple[int, ...]
    repetitions: int
    memory_towers: TowersConfig
    memory_batches: tuple[int, ...]
    memory_micro_batch: int
    loader_pairs: int
    trainer: TrainerConfig
    threads: int = 2


FULL = Sizes(
    towers=TowersConfig(),
    optimizer=OptimizerConfig(),
    batch=128,
    micro_batches=(1, 4),
    repetitions=9,
    memory_towers=TowersConfig(image_size=64, max_tokens=16),
    memory_batches=(256, 1024, 4096),
    memory_micro_batch=64,
    loader_pairs=640,
    trainer=TrainerConfig(epochs=2),
)
_QUICK_OPTIMIZER = OptimizerConfig(freeze=("image_encoder.tower.conv_stem", "text_encoder.tower.embeddings"))
QUICK = Sizes(
    towers=PRESETS["tiny"],
    optimizer=_QUICK_OPTIMIZER,
    batch=16,
    micro_batches=(1, 4),
    repetitions=2,
    memory_towers=PRESETS["tiny"],
    memory_batches=(32, 64),
    memory_micro_batch=16,
    loader_pairs=48,
    trainer=TrainerConfig(epochs=1, sampler=replace(SamplerConfig(), batch_size=16), optimizer=_QUICK_OPTIMIZER),
    threads=1,
)
SIZES = {"full": FULL, "quick": QUICK}
