"""Trainings in separate processes that are killed, terminated or run out of disk at a chosen place."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from tiny_training import TRAINER, random_batch, tiny_towers, tiny_trainer
from torch import nn
from waiting import HANG_S, wait_until

from ecclip.atomic import sha256_bytes
from ecclip.model import Towers
from ecclip.train import CheckpointError, Trainer, TrainerConfig, accumulate_gradients
from ecclip.train.distributed.processes import join_processes
from ecclip.train.distributed.world import SINGLE_PROCESS, World
from ecclip.train.engine import checkpoint
from ecclip.train.engine.budget import Budget, within_memory

# The server imports torch once; every child is forked from it, clean of the threads of the test process.
_CONTEXT = multiprocessing.get_context("forkserver")
# and what a child would import by itself: to find its function, to build towers, to read shards
_LATER = ["pytest", "transformers.models.bert.modeling_bert", "pandas"]
_CONTEXT.set_forkserver_preload(["ecclip.train", "ecclip.train.run.stage", *_LATER])
DISK_FULL_EXIT_CODE = 28


def run_child(target: Callable[..., None], *arguments: Any) -> int:
    """Run a function in a separate process and return its exit code, minus the signal that ended it."""
    process = start_child(target, *arguments)
    return exit_code(process)


def exit_code(process: multiprocessing.process.BaseProcess) -> int:
    """Wait for the end of a child and return its exit code."""
    process.join(timeout=HANG_S)
    assert process.exitcode is not None, "the child hangs"
    return int(process.exitcode)


def start_child(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    """Start a function in a separate process."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def run_children(target: Callable[..., None], *arguments: tuple[Any, ...]) -> list[int]:
    """Run a function in separate processes, one for each tuple, and return their exit codes."""
    processes = [_CONTEXT.Process(target=target, args=own) for own in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=HANG_S)
    alive = [process for process in processes if process.exitcode is None]
    for process in alive:
        process.kill()
        process.join()
    assert not alive, "a child hangs"
    return [int(process.exitcode or 0) for process in processes]


def one_of_several(
    snapshot: Path, folder: Path, fault: str, rank: int, size: int, timeout_s: float, changes: dict[str, Any]
) -> None:
    """Train as one of several gloo processes that meet in ``folder``; only the first one's result is of the run."""
    torch.set_num_threads(1)
    cfg = replace(TRAINER, **changes)
    _meet(folder, rank, size)
    with join_processes(
        torch.device("cpu"), timeout_s, init_method=f"file://{folder / 'meeting'}", rank=rank, size=size
    ) as world:
        _train(snapshot, folder / f"rank-{rank}", fault, cfg, world, folder / "steps")


def _meet(folder: Path, rank: int, size: int) -> None:
    """Wait until all are there: how long a busy machine takes to start them is not what their timeout is for."""
    here = folder / "meeting.here"
    here.mkdir(exist_ok=True)
    (here / str(rank)).touch()
    wait_until(lambda: len(list(here.iterdir())) == size, "the other training processes")


def training_process(snapshot: Path, folder: Path, fault: str, workers: int) -> None:
    """Train tiny towers, with a fault (``step 5``, ``write 2``, ``rename``, ``disk``, ``terminate 3``, or none)."""
    torch.set_num_threads(1)
    _train(snapshot, folder, fault, replace(TRAINER, workers=workers), SINGLE_PROCESS, folder / "steps")


def _train(snapshot: Path, folder: Path, fault: str, cfg: TrainerConfig, world: World, steps: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    towers = tiny_towers()
    trainer = tiny_trainer(snapshot, folder, cfg, towers=towers, log=_logger(folder), world=world, checkpoints=steps)
    _plant(trainer, fault)
    _write_order(trainer, folder)
    try:
        progress = trainer.run()
    except CheckpointError as error:
        (folder / "error.txt").write_text(str(error))
        sys.exit(DISK_FULL_EXIT_CODE)
    except Exception:
        (folder / "error.txt").write_text(traceback.format_exc())
        raise
    (folder / "result.json").write_text(json.dumps(_result(trainer, progress.metrics)))


def stage_process(
    snapshot: Path,
    start: Path,
    output: Path,
    config: dict[str, Any],
    kill_at: int | None,
    environment: dict[str, str] | None = None,
    hold_at: tuple[int, ...] = (),
) -> None:
    """Run the stage train, untracked unless the environment says so, and kill the process in the given step.

    Before each step of ``hold_at`` it waits for the file ``go-<step>`` beside its output. What it starts and whom it
    connects to is written into ``outside.txt`` there.
    """
    _write_outside(output.parent / "outside.txt")
    os.environ.update({"ECCLIP_TORCH_THREADS": "1", "ECCLIP_TRACKING": "false", **(environment or {})})
    from ecclip.pipeline import DELIVER_METRICS
    from ecclip.spool import DELIVERY
    from ecclip.train.run.stage import TrainConfig, train

    DELIVERY.set(DELIVER_METRICS)
    if hold_at:
        _hold(output.parent, hold_at)
    if kill_at is not None:
        _kill_in_step(Trainer, kill_at)
    train(cfg=TrainConfig.model_validate(config), snapshot=snapshot, start=start, output=output)


def gradients_process(
    folder: Path, rank: int, size: int, pairs: int, seed: tuple[int, ...], cases: dict[str, dict[str, Any]]
) -> None:
    """Take the gradients of random batches as one of several processes and store them in ``folder/<rank>.pt``."""
    torch.set_num_threads(1)
    found = {}
    meeting = f"file://{folder / 'meeting'}"
    with join_processes(torch.device("cpu"), 60.0, init_method=meeting, rank=rank, size=size) as world:
        for name, case in cases.items():
            arguments = dict(case)
            towers, batch = tiny_towers(), random_batch(pairs)
            if case["loss"] == "sigmoid":
                towers.add_logit_bias()
            towers.double().train(arguments.pop("train"))
            part = batch.part(world.rows(pairs))
            loss = accumulate_gradients(towers, part, seed=seed, world=world, **arguments)
            found[name] = {"loss": loss, **{key: value.grad for key, value in towers.named_parameters()}}
    torch.save(found, folder / f"{rank}.pt")


def process_of_little_memory(folder: Path) -> None:
    """Take gradients of 16 pairs that want 16 MB each where 128 MB of address space are left."""
    torch.set_num_threads(1)
    towers, batch, halves = tiny_towers(), random_batch(16), []
    towers.image_encoder.register_forward_hook(
        lambda _module, _inputs, output: output[:, :, None].repeat(1, 1, 250_000).mean(dim=2)
    )

    def work(budget: Budget) -> torch.Tensor:
        return accumulate_gradients(towers, batch, micro_batch_size=budget.images, labels="soft", seed=(0, 1))

    accumulate_gradients(towers, batch.part(slice(0, 2)), micro_batch_size=2, labels="soft", seed=(0, 1))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 128 * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    loss = within_memory(work, Budget(16), 16, lambda budget: halves.append(budget.images))
    (folder / "result.json").write_text(json.dumps({"halves": halves, "loss": float(loss)}))


def _result(trainer: Trainer, metrics: list[Any]) -> dict[str, Any]:
    state = {name: tensor.contiguous() for name, tensor in trainer.towers.state_dict().items()}
    moments = {name: tensor.contiguous() for name, tensor in trainer.optimizer.state().items()}
    return {"weights": sha256_bytes(save(state)), "moments": sha256_bytes(save(moments)), "metrics": metrics}


def _logger(folder: Path) -> Callable[..., None]:
    def log(event: str, **values: object) -> None:
        with (folder / "log.txt").open("a") as file:
            file.write(f"{event} {values}\n")

    return log


def _write_order(trainer: Trainer, folder: Path) -> None:
    """Write down which rows every finished step saw."""
    step = trainer._step

    def recorded(progress: Any, *rest: Any) -> None:
        number = progress.step
        step(progress, *rest)
        with (folder / "order.txt").open("a") as file:
            file.write(
                f"{number} {trainer.plan[number][1].tolist()} {sha256_bytes(rest[0].pixels.numpy().tobytes())}\n"
            )

    trainer._step = recorded  # type: ignore[method-assign]


def _plant(trainer: Trainer, fault: str) -> None:
    kind, _, number = fault.partition(" ")
    if kind == "step":
        _kill_in_step(trainer, int(number))
    elif kind == "write":
        _kill_in_write(int(number))
    elif kind == "rename":
        replace = checkpoint.replace_folder
        checkpoint.replace_folder = lambda *paths: (replace(*paths), os.kill(os.getpid(), signal.SIGKILL))  # type: ignore[assignment]
    elif kind == "disk":
        _limit_after_first_checkpoint(trainer)
    elif kind == "memory":
        limit_memory(trainer.towers, int(number))
    elif kind == "stop":
        _stop_in_step(trainer, int(number))
    elif kind == "terminate":
        _terminate_in_step(trainer, int(number))


def _write_outside(path: Path) -> None:
    """Have the interpreter tell of every process that this one starts and every server that it connects to."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "subprocess.Popen"):
            with path.open("a") as file:
                file.write(f"{event} {arguments[1]}\n")

    sys.addaudithook(hook)


def _hold(folder: Path, steps: tuple[int, ...]) -> None:
    step = Trainer._step

    def held(*arguments: Any) -> None:
        number = arguments[-3].step  # progress, batch and executor come last
        if number in steps:
            wait_until((folder / f"go-{number}").exists, f"the word to take step {number}")
        step(*arguments)

    Trainer._step = held  # type: ignore[method-assign]


def _kill_in_step(trainer: Any, number: int) -> None:
    clip = trainer.optimizer.clip if isinstance(trainer, Trainer) else None
    step = trainer._step

    def killed(*arguments: Any) -> None:
        if arguments[-3].step == number:  # progress, batch and executor come last
            if clip is None:
                os.kill(os.getpid(), signal.SIGKILL)
            # gradients are there, the parameters have not moved yet
            trainer.optimizer.clip = lambda: os.kill(os.getpid(), signal.SIGKILL)
        step(*arguments)

    trainer._step = killed


def _stop_in_step(trainer: Trainer, number: int) -> None:
    step = trainer._step

    def stopped(progress: Any, *rest: Any) -> None:
        if progress.step == number:
            os.kill(os.getpid(), signal.SIGSTOP)
        step(progress, *rest)

    trainer._step = stopped  # type: ignore[method-assign]


def limit_memory(towers: Towers, pairs: int) -> list[int]:
    """Have the image encoder run out of memory above so many pairs; return a list that the tried sizes go to."""
    sizes: list[int] = []

    def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]))
        if len(inputs[0]) > pairs:
            torch.empty(2**62, dtype=torch.uint8)  # the allocator's own error

    towers.image_encoder.register_forward_pre_hook(hook)
    return sizes


def _kill_in_write(number: int) -> None:
    """Leave half a file in the n-th write of a checkpoint (3 a checkpoint: tensors, state, manifest) and die."""
    write, calls = checkpoint.write_atomic, []

    def half(path: Path, data: bytes | str) -> None:
        calls.append(path)
        if len(calls) == number:
            path.write_bytes((data if isinstance(data, bytes) else data.encode())[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, data)

    checkpoint.write_atomic = half  # type: ignore[assignment]


def _limit_after_first_checkpoint(trainer: Trainer) -> None:
    save_checkpoint = trainer.store.save

    def limited(*arguments: Any) -> Path:
        path = save_checkpoint(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        return path

    trainer.store.save = limited  # type: ignore[method-assign]


def _terminate_in_step(trainer: Trainer, number: int) -> None:
    step, save_checkpoint = trainer._step, trainer.store.save

    def terminated(progress: Any, *rest: Any) -> None:
        if progress.step == number:
            os.kill(os.getpid(), signal.SIGTERM)
        step(progress, *rest)

    def again(*arguments: Any) -> Path:
        if arguments[0] > number:
            os.kill(os.getpid(), signal.SIGTERM)
        return save_checkpoint(*arguments)

    trainer._step, trainer.store.save = terminated, again  # type: ignore[method-assign]
