"""Towers and trainings that take seconds: random weights, three layers, pictures of 32 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from snapshots import write_snapshot

from ecclip.core import settings
from ecclip.formats.start import Start, write_start
from ecclip.model import PRESETS, Towers, build_towers
from ecclip.train import (
    AugmentConfig,
    Batch,
    Labels,
    OptimizerConfig,
    Preempted,
    Progress,
    SamplerConfig,
    Trainer,
    TrainerConfig,
    open_pairs,
)

# Towers this small only lose by a second thread, and lose much on a busy machine.
torch.set_num_threads(1)

_DROPOUT = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.2}
TEXT_CONFIG = {**(PRESETS["tiny"].text_config or {}), **_DROPOUT}
# a section of params.yaml
TOWERS = {"preset": "tiny", "text_config": TEXT_CONFIG, "max_tokens": 32}
TINY = replace(PRESETS["tiny"], text_config=TEXT_CONFIG, vision_dropout=0.2, drop_path=0.1)
TRAINER = TrainerConfig(
    epochs=3,
    patience=None,  # all of them, whatever validation says
    labels=Labels.SOFT_WITHIN,
    micro_batch_size=7,
    checkpoint_every=4,
    workers=0,
    sampler=SamplerConfig(batch_size=16, hard_negative_share=0.5, group_share=0.5),
    augment=AugmentConfig(),
    optimizer=OptimizerConfig(tower_learning_rate=1e-3, projection_learning_rate=3e-3, freeze=()),
)


@contextmanager
def training_workspace(folder: Path, listings: int) -> Iterator[Path]:
    """Make ``folder`` the workspace, with a snapshot of so many listings and pretrained weights to start from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECCLIP_WORKSPACE", str(folder))
        patch.setenv("ECCLIP_TORCH_THREADS", "1")
        patch.setenv("ECCLIP_TRACKING", "false")
        settings.cache_clear()
        write_snapshot(folder / "snapshot", listings)
        write_start(Start(), folder / "pretrained")
        yield folder
    settings.cache_clear()


def tiny_towers(**changes: Any) -> Towers:
    """Return random towers that are cheap on a CPU."""
    return build_towers(replace(TINY, **changes))


def random_batch(size: int = 14, groups: list[int] | None = None, seed: int = 0) -> Batch:
    """Return a batch of noise; some texts are shorter than others, and some groups weak."""
    chance = torch.Generator().manual_seed(seed)
    mask = (torch.arange(8)[None, :] < torch.randint(3, 9, (size, 1), generator=chance)).long()
    codes = groups if groups is not None else [row // 2 if row < 6 else row for row in range(size)]
    return Batch(
        pixels=torch.randint(0, 256, (size, 3, 32, 32), generator=chance, dtype=torch.uint8),
        ids=torch.randint(1000, 9000, (size, 8), generator=chance) * mask,
        mask=mask,
        groups=torch.tensor(codes),
        certainty=torch.rand(size, generator=chance),
    )


def tiny_trainer(snapshot: Path, folder: Path, cfg: TrainerConfig = TRAINER, **arguments: Any) -> Trainer:
    """Return a trainer of new tiny towers on the shards of a snapshot; its checkpoints are in ``folder/steps``."""
    towers = arguments.pop("towers", None) or tiny_towers()
    pairs = open_pairs(snapshot / "shards", folder)
    checkpoints = arguments.pop("checkpoints", folder / "steps")
    return Trainer(towers, pairs, towers.preprocessor(), cfg, checkpoints, threads=1, **arguments)


def preempt_at(trainer: Trainer, number: int) -> None:
    """Stop a training before a step, as a preemption does after its checkpoint."""
    step = trainer._step

    def preempted(progress: Progress, *rest: Any) -> None:
        if progress.step == number:
            raise Preempted(number)
        step(progress, *rest)

    trainer._step = preempted  # type: ignore[method-assign, assignment]
