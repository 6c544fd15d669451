"""The stage train: runs the engine between published folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, Field

from ecclip.core import (
    Counts,
    StageConfig,
    canonical_json,
    digest_of,
    fingerprint,
    forget_once_published,
    get_logger,
    settings,
    sha256_bytes,
    stage,
    verify_folder,
    write_atomic,
)
from ecclip.formats.bundle import TOWERS
from ecclip.formats.snapshot import SHARDS
from ecclip.formats.start import read_start
from ecclip.model import (
    PRESETS,
    Towers,
    TowersConfig,
    build_towers,
    encode_images,
    encode_texts,
    load_towers,
    save_towers,
    towers_preset,
)
from ecclip.spool import Spool
from ecclip.train.config import TrainerConfig
from ecclip.train.data.certainty import group_certainty
from ecclip.train.data.listings import held_out
from ecclip.train.data.pairs import PAIRS, Pairs, open_pairs
from ecclip.train.distributed.launch import train_in_processes
from ecclip.train.distributed.world import SINGLE_PROCESS, World
from ecclip.train.engine.heap import keep_freed_memory
from ecclip.train.engine.retrieval import retrieval_metrics
from ecclip.train.engine.trainer import Progress, Trainer
from ecclip.train.run.tracking import FOLDER, save_preview, tracking
from ecclip.train.weights.probe import Probe, labelled

_PRESETS_MEAN = f"towers by name ({', '.join(PRESETS)}), which the other parameters then change"


class FineTuneConfig(StageConfig):
    """What differs from the first training when training goes on from the champion; by judgment."""

    epochs: int = Field(1, ge=1, description="epochs when training goes on from the champion")
    learning_rate_scale: float = Field(0.3, gt=0, description="factor on the learning rates when fine-tuning")


class TrainConfig(StageConfig):
    """Parameters of the stage train; sizes by judgment."""

    towers: Annotated[TowersConfig, BeforeValidator(towers_preset)] = Field(
        TowersConfig(), description="the two towers", json_schema_extra={"preset": _PRESETS_MEAN}
    )
    trainer: TrainerConfig = Field(TrainerConfig(), description="the first training")
    fine_tune: FineTuneConfig = Field(FineTuneConfig(), description="what differs when training goes on")
    retrain: bool = Field(False, description="start from the pretrained weights even if there is a champion")
    validation_listings: int = Field(1000, ge=0, description="most held-out listings that retrieval is measured on")
    probe_listings: int = Field(
        200,
        ge=0,
        description="most listings that linear probes learn from, and half as many to measure on, where the share"
        " of the initial weights is chosen; by judgment",
    )


@stage
def train(cfg: TrainConfig, snapshot: Path, start: Path, output: Path) -> Counts:
    """Train the towers on the shards of a snapshot, from the champion or from pretrained weights.

    Checkpoints live beside the output under a key of everything that decides the result, so that a killed run goes on
    when it is called again with equal inputs; they go once the result is published. Metrics go to a spool
    beside them and from there to MLflow, see :mod:`ecclip.train.run.tracking`.

    Raises:
        ContractError: the snapshot cannot be trained on; a shard that is missing or damaged is named.
        ServiceError: a checkpoint cannot be written, or training diverged.
        SystemExit: code 143 after SIGTERM, with a checkpoint written.
    """
    checkpoints = output.parent / "train.checkpoints"
    verify_folder(snapshot, SHARDS)
    key = _run_key(cfg, snapshot, start)
    folder = checkpoints / key
    _forget_other_runs(checkpoints, folder)
    with _tracked(cfg, snapshot, output.parent / FOLDER / key) as spool:
        counts = _train_somewhere(cfg, snapshot, start, output, folder, spool)
    forget_once_published(checkpoints)
    return counts


def train_with(
    world: World,
    device: torch.device,
    cfg: TrainConfig,
    snapshot: Path,
    start: Path,
    output: Path,
    folder: Path,
    spool: Spool | None,
) -> Counts:
    """Do the work of the stage train as one of the processes of ``world``; the first one writes the output.

    Args:
        world: the processes that train.
        device: that this one computes on.
        cfg: of the stage.
        snapshot: of the stage.
        start: of the stage.
        output: of the stage.
        folder: for checkpoints, the same for all processes; its name is the key of the training.
        spool: for the metrics; None: they are not tracked, or not by this process.
    """
    keep_freed_memory()
    towers, kind = _starting_towers(cfg, start)
    towers = towers.to(device)
    trainer_cfg = cfg.trainer if kind == "pretrained" else _fine_tuning(cfg)
    pairs = _open_pairs(world, snapshot / SHARDS, folder)
    trainer = _trainer(world, cfg, trainer_cfg, towers, pairs, snapshot, folder, spool)
    if spool is not None:
        save_preview(trainer, spool.path.parent)
    progress = trainer.run()
    pairs.close()
    history = _history(trainer, progress, kind) | {"run_key": folder.name}
    if world.is_first:
        save_towers(towers, output / TOWERS)
        _write_metrics(progress, history, output)
    return Counts(
        read={"pairs": len(pairs.groups)},
        written={"steps": progress.step},
        dropped={"skipped_steps": progress.skipped} if progress.skipped else {},
        detail={"start": kind, "epochs": trainer_cfg.epochs, **history["retrieval"]},
    )


def _train_somewhere(
    cfg: TrainConfig, snapshot: Path, start: Path, output: Path, folder: Path, spool: Spool | None
) -> Counts:
    """Train in this process, or in as many as the settings say."""
    if settings().train_processes == 1:
        device = torch.device(settings().device)
        return train_with(SINGLE_PROCESS, device, cfg, snapshot, start, output, folder, spool)
    paths = {"snapshot": snapshot, "start": start, "output": output, "folder": folder}
    if spool is not None:
        paths["spool"] = spool.path
    job = {"config": cfg.model_dump(mode="json"), **{name: str(path.resolve()) for name, path in paths.items()}}
    return train_in_processes(job, folder / "job")


def _open_pairs(world: World, shards: Path, folder: Path) -> Pairs:
    """Return the pairs, laid out by the first process for all."""
    pairs = open_pairs(shards, folder) if world.is_first else None
    world.any(False)
    return pairs or Pairs(folder / PAIRS)


def _write_metrics(progress: Progress, history: dict[str, Any], output: Path) -> None:
    lines = (json.dumps({"step": step, "name": name, "value": value}) for step, name, value in progress.metrics)
    write_atomic(output / "metrics.jsonl", "".join(f"{line}\n" for line in lines))
    write_atomic(output / "history.json", canonical_json(history))


def _trainer(
    world: World,
    cfg: TrainConfig,
    trainer_cfg: TrainerConfig,
    towers: Towers,
    pairs: Pairs,
    snapshot: Path,
    folder: Path,
    spool: Spool | None,
) -> Trainer:
    photos, titles, groups = held_out(snapshot, cfg.validation_listings) if world.is_first else ([], [], np.empty(0))

    def validate(present: Towers) -> dict[str, float]:
        if not photos:
            return {}
        preprocessor, workers = present.preprocessor(), settings().torch_threads
        image = encode_images(present, preprocessor, photos, workers=workers)
        text = encode_texts(present, preprocessor, titles, workers=workers)
        seen = ~np.isnan(image).any(axis=1)
        return retrieval_metrics(image[seen], text[seen], groups[seen])

    return Trainer(
        towers,
        pairs,
        towers.preprocessor(),
        trainer_cfg,
        folder / "steps",
        threads=settings().torch_threads,
        validate=validate,
        probe=Probe(lambda: labelled(snapshot, cfg.probe_listings), settings().torch_threads),
        timing=folder.parent.with_name("train.timing.jsonl"),
        tracker=spool,
        log=get_logger().info,
        certainty=group_certainty(snapshot, pairs, trainer_cfg.weak_groups),
        world=world,
    )


@contextmanager
def _tracked(cfg: TrainConfig, snapshot: Path, folder: Path) -> Iterator[Spool | None]:
    if not settings().tracking:
        yield None
        return
    description = {
        "key": folder.name,
        "name": f"{snapshot.name} training {folder.name[:8]}",
        "tags": {"snapshot_digest": digest_of(snapshot), "airflow_run": settings().run_id},
        "config": cfg.model_dump(mode="json"),
    }
    with tracking(folder, description) as spool:
        yield spool


def _fine_tuning(cfg: TrainConfig) -> TrainerConfig:
    rates = cfg.trainer.optimizer
    optimizer = replace(
        rates,
        tower_learning_rate=rates.tower_learning_rate * cfg.fine_tune.learning_rate_scale,
        projection_learning_rate=rates.projection_learning_rate * cfg.fine_tune.learning_rate_scale,
    )
    # the champion's size of photos stays: what answers would cost otherwise
    return replace(cfg.trainer, epochs=cfg.fine_tune.epochs, optimizer=optimizer, photo_scales=())


def _starting_towers(cfg: TrainConfig, start: Path) -> tuple[Towers, str]:
    """Return the towers to start from and their kind; a champion of other towers cannot be fine-tuned."""
    champion = read_start(start)
    if champion.towers is not None and not cfg.retrain:
        towers = load_towers(champion.towers)
        if cfg.towers.describes(towers.cfg):
            return towers, champion.kind
        get_logger().warning("the champion has other towers: training starts afresh", champion=champion.bundle)
    return build_towers(cfg.towers), "pretrained"


def _history(trainer: Trainer, progress: Progress, kind: str) -> dict[str, Any]:
    """Return a summary: loss by epoch, and retrieval before and after."""
    last = {name: value for step, name, value in progress.metrics if step == len(trainer.plan)}
    first = {name: value for step, name, value in progress.metrics if step == 0}
    losses: dict[int, list[float]] = {}
    for step, name, value in progress.metrics:
        if name == "train/loss":
            losses.setdefault(trainer.plan[step - 1][0], []).append(value)
    return {
        "schema": "ecclip.training/1",
        "start": kind,
        "steps": progress.step,
        "pairs_seen": sum(len(rows) for _, rows in trainer.plan[: progress.step]),
        "skipped_steps": progress.skipped,
        "loss_by_epoch": [sum(values) / len(values) for _, values in sorted(losses.items())],
        "retrieval": {name: value for name, value in last.items() if name.startswith("retrieval/")},
        "interpolation": {
            name.removeprefix("interpolation/"): value
            for name, value in last.items()
            if name.startswith("interpolation/")
        },
        "photos": {name.removeprefix("photos/"): value for name, value in last.items() if name.startswith("photos/")},
        "retrieval_before": {name: value for name, value in first.items() if name.startswith("retrieval/")},
    }


def _run_key(cfg: TrainConfig, snapshot: Path, start: Path) -> str:
    """Return a key of everything that decides the bits of a training."""
    payload = {
        "config": cfg.model_dump(mode="json"),
        "inputs": {"snapshot": digest_of(snapshot), "start": digest_of(start)},
        "machine": {"torch": torch.__version__, "threads": settings().torch_threads, "device": settings().device},
        "code": fingerprint(__file__),
    }
    return sha256_bytes(canonical_json(payload).encode())[:16]


def _forget_other_runs(checkpoints: Path, own: Path) -> None:
    for folder in checkpoints.glob("*") if checkpoints.is_dir() else ():
        if folder != own:
            get_logger().info("removing checkpoints of a training with other inputs", path=str(folder))
            shutil.rmtree(folder)
