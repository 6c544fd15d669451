"""What answering costs: latency, memory and size of a version, held against the champion's on the same server."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import Field

from ecclip.client import Product, ProductClient
from ecclip.core import StageConfig
from ecclip.errors import ClientError
from ecclip.serving.deploy.platforms import ENTRY
from ecclip.serving.deploy.repository import Repository, Staged
from ecclip.serving.server.access import client_options

_QUESTIONS = 12  # requests of one listing each, of which the median counts; by judgment
_MIB = 1 << 20  # bytes
_STUB = "triton_python_backend_stub"
Served = tuple[str, Staged]  # the entry model that answers, and the version of it


class BudgetConfig(StageConfig):
    """What a version may cost. Ratios are to the champion on the same server in the same minute."""

    max_latency_ms: float = Field(
        2000.0,
        gt=0,
        description="largest median latency of a request with one listing, ms; by judgment, on two busy cores",
    )
    latency_ratio: float = Field(2.0, gt=0, description="the same latency, times the champion's; by judgment")
    memory_ratio: float = Field(
        2.0,
        gt=0,
        description="largest memory of the processes of its models, times the champion's; by judgment. "
        "Seen where the server runs on this machine, on the platform embedded",
    )
    size_ratio: float = Field(
        2.0, gt=0, description="largest size of its files on the server, times the champion's; by judgment"
    )


@dataclass(frozen=True)
class Cost:
    """What a version costs on a server; None is not known."""

    latency_ms: float | None
    memory_mib: float | None
    size_mib: float | None


def over_budget(candidate: Cost, champion: Cost | None = None, *, budget: BudgetConfig) -> dict[str, str]:
    """Return every budget that a candidate does not keep: its parameter, and in words why.

    Without a champion there is the fixed one alone.
    """
    taken = candidate.latency_ms
    kept = taken is None or taken <= budget.max_latency_ms
    over = {} if kept else {"max_latency_ms": f"one listing takes {taken:g} ms (limit {budget.max_latency_ms:g} ms)"}
    if champion is None:
        return over
    ratios = {
        "latency_ratio": ("one listing takes {:g} ms", taken, champion.latency_ms, budget.latency_ratio),
        "memory_ratio": ("its processes hold {:g} MiB", candidate.memory_mib, champion.memory_mib, budget.memory_ratio),
        "size_ratio": ("its files have {:g} MiB", candidate.size_mib, champion.size_mib, budget.size_ratio),
    }
    for parameter, (told, ours, theirs, limit) in ratios.items():
        if ours is not None and theirs and ours > limit * theirs:
            times = f"{ours / theirs:.3g} times the champion's {theirs:g}"
            over[parameter] = f"{told.format(ours)}, {times} (limit {limit:g}, deploy.budget.{parameter})"
    return over


def costs(address: str, repository: Repository, versions: list[Served], questions: list[Product]) -> list[Cost]:
    """Return what each version costs on one server, the candidate first; all are asked the same listings in turn.

    Raises:
        ClientError: the candidate does not answer.
    """
    latencies = _latencies_ms(address, versions, questions)
    memories = _memories_mib(repository.folder.resolve(), versions)
    sizes = [_size_mib(repository, staged) for _, staged in versions]
    return [Cost(*each) for each in zip(latencies, memories, sizes, strict=True)]


def _latencies_ms(address: str, versions: list[Served], questions: list[Product]) -> list[float | None]:
    """Return the median latency of each version; a champion that does not answer has none.

    Raises:
        ClientError: the candidate does not answer.
    """
    taken: list[list[float]] = [[] for _ in versions]
    with ExitStack() as stack:
        options = [client_options(model=model, version=str(staged.version)) for model, staged in versions]
        clients = [stack.enter_context(ProductClient(address, each)) for each in options]
        for number in range(-1, _QUESTIONS):
            for place, client in enumerate(clients):
                began = time.perf_counter()
                try:
                    client.ask([questions[number % len(questions)]])
                except ClientError:
                    if place == 0:
                        raise
                else:
                    taken[place].append(time.perf_counter() - began)
    # the first question of each warms its caches up
    return [round(1e3 * statistics.median(each[1:]), 3) if each[1:] else None for each in taken]


def _memories_mib(folder: Path, versions: list[Served]) -> list[float | None]:
    """Return the memory that the processes of each version's models have to themselves, one process of each model."""
    held: dict[tuple[int, str], list[int]] = defaultdict(list)
    servers: set[int] = set()
    candidate = f"{versions[0][0]}/{versions[0][1].version}"
    for process in psutil.process_iter(["cmdline", "ppid"]):
        command = process.info["cmdline"] or []
        if len(command) < 2 or Path(command[0]).name != _STUB or folder not in Path(command[1]).parents:
            continue
        with suppress(psutil.Error):
            model, server = Path(command[1]).parent.relative_to(folder).as_posix(), process.info["ppid"]
            held[server, model].append(process.memory_full_info().uss)
            if model == candidate:
                servers.add(server)
    if len(servers) != 1:  # it runs elsewhere, or its processes are not ours to see
        return [None] * len(versions)
    (server,) = servers
    return [_memory_mib([held[server, name] for name in _models(*each)]) for each in versions]


def _models(entry: str, staged: Staged) -> list[str]:
    return [f"{model}/{staged.version}" for model in (entry, *staged.models.values())]


def _memory_mib(models: list[list[int]]) -> float | None:
    """Return the memory of one process of each model; of a model that has none nothing is known."""
    if not all(models):
        return None
    return round(sum(statistics.fmean(processes) for processes in models) / _MIB, 1)


def _size_mib(repository: Repository, staged: Staged) -> float:
    """Return the size of the files of a version's graphs and entry model."""
    models = tuple(f"{name}/" for name in (ENTRY, *staged.models.values()))
    sizes = [(repository.folder / name).stat().st_size for name in staged.files if name.startswith(models)]
    return round(sum(sizes) / _MIB, 3)
