"""``ecclip bench``: runs a benchmark in a separate process, prints its table, keeps the docs in step."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ecclip.atomic import write_atomic
from ecclip.bench.result import Result, read_result
from ecclip.bench.tables import fill_tables, number, spread
from ecclip.core import ConfigError, ServiceError, Terminal, settings

bench_app = typer.Typer(
    no_args_is_help=True, help="Benchmarks beside a peer in the same run; they write results/<name>.json."
)
_PEERS = Path("env") / "bench"  # below work/, made by `make bench-env`
_PAGES = ("docs/benchmarks.md",)


@bench_app.command("train")
def bench_train(
    quick: Annotated[
        bool, typer.Option(help="Tiny towers, seconds: proves that the benchmark runs; its figures mean nothing")
    ] = False,
    twin: Annotated[
        bool, typer.Option(help="Compare with a plain twin of open_clip's step instead of open_clip")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="File of results; default: results/train.json")] = None,
) -> None:
    """Train against open_clip: pairs per second, memory, cost of accumulation, waiting for the loader."""
    path = out or settings().workspace / "results" / "train.json"
    options = [name for name, wanted in (("--quick", quick), ("--twin", twin)) if wanted]
    environment = dict(os.environ) if twin else _with_peer("open_clip")
    _run_module("ecclip.bench.train", ["--out", str(path), *options], environment)
    show(read_result(path))


@bench_app.command("quality")
def bench_quality(
    data: Annotated[Path, typer.Option(help="Folder with the four public sets, see docs/benchmarks.md")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pairs of the ablations")] = None,
    variants: Annotated[
        list[str] | None, typer.Option(help="Only this training, may be given again; an unknown name lists all")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File of results; default: results/pretrain_quality.json")] = None,
) -> None:
    """Pretrain on real photos and titles: retrieval, linear probes, ablations. Takes hours on two cores."""
    path = out or settings().workspace / "results" / "pretrain_quality.json"
    options = ["--data", str(data), "--work", str(settings().work / "bench" / "pretrain_quality"), "--out", str(path)]
    options += [] if epochs is None else ["--epochs", str(epochs)]
    options += ["--variants", *variants] if variants else []
    _run_module("ecclip.bench.pretrain_quality", options, dict(os.environ))
    show(read_result(path))


@bench_app.command("catalog")
def bench_catalog(
    quick: Annotated[
        bool, typer.Option(help="A minute: proves that the benchmark runs; its figures mean nothing")
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Folder with public sets of photos, see docs/benchmarks.md")] = None,
    out: Annotated[Path | None, typer.Option(help="File of results; default: results/catalog.json")] = None,
) -> None:
    """Run the catalog's stages: rates against plain Python, growth to a million, a night of few changes, groups."""
    path = out or settings().workspace / "results" / "catalog.json"
    options = ["--out", str(path), *(["--data", str(data)] if data else []), *(["--quick"] if quick else [])]
    _run_module("ecclip.bench.catalog", options, dict(os.environ))
    show(read_result(path))


@bench_app.command("parity")
def bench_parity(
    nights: Annotated[list[str], typer.Option("--night", help="A night of this workspace, may be given again")],
    out: Annotated[Path | None, typer.Option(help="File of results; default: results/parity.json")] = None,
) -> None:
    """Ask a real server about every row of a night, as exported and as the snapshot has it: what differs."""
    path = out or settings().workspace / "results" / "parity.json"
    options = ["--out", str(path), *(word for night in nights for word in ("--night", night))]
    _run_module("ecclip.bench.parity", options, dict(os.environ))
    show(read_result(path))


@bench_app.command("serve")
def bench_serve(
    nights: Annotated[
        list[str] | None, typer.Option("--night", help="Two nights of this workspace; default: the last two")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="throughput, overload, leaks, deployments (default: these) or alias; may be given again"),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Seconds: proves that it runs; its figures mean nothing")] = False,
    out: Annotated[Path | None, typer.Option(help="File of results; default: results/serve.json")] = None,
) -> None:
    """Load the server: throughput against two peers, overload, leaks, changes of version, a moved alias."""
    path = out or settings().workspace / "results" / "serve.json"
    options = [word for night in nights or () for word in ("--night", night)]
    options += [word for part in only or () for word in ("--only", part)]
    _run_module("ecclip.bench.serve", ["--out", str(path), *options, *(["--quick"] if quick else [])], dict(os.environ))
    show(read_result(path))


@bench_app.command("tasks")
def bench_tasks(
    data: Annotated[Path, typer.Option(help="Folder with the public sets, see docs/benchmarks.md")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only cells of this set or task, may be given again"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File of results; default: results/tasks.json")] = None,
) -> None:
    """Measure the tasks on public sets, system beside system, cell by cell; an interrupted run goes on."""
    path = out or settings().workspace / "results" / "tasks.json"
    options = ["--data", str(data), "--work", str(settings().work / "bench" / "tasks"), "--out", str(path)]
    options += ["--only", *only] if only else []
    _run_module("ecclip.bench.task_cells", options, dict(os.environ))
    show(read_result(path))


@bench_app.command("costs")
def bench_costs(
    quick: Annotated[bool, typer.Option(help="Seconds: proves that it runs; its figures mean nothing")] = False,
    out: Annotated[Path | None, typer.Option(help="File of results; default: results/costs.json")] = None,
) -> None:
    """Measure what tasks cost: heads beside towers, exact and inverted search, matching of a million listings."""
    path = out or settings().workspace / "results" / "costs.json"
    options = ["--out", str(path), *(["--quick"] if quick else [])]
    _run_module("ecclip.bench.tasks.costs", options, dict(os.environ))
    show(read_result(path))


@bench_app.command("show")
def bench_show(name: Annotated[str, typer.Argument(help="Of a file of results/: train, serve, tasks ...")]) -> None:
    """Print the committed figures of a benchmark."""
    show(read_result(settings().workspace / "results" / f"{name}.json"))


@bench_app.command("tables")
def bench_tables() -> None:
    """Regenerate the tables in the docs from results/*.json."""
    root = settings().workspace
    for page in _PAGES:
        write_atomic(root / page, fill_tables((root / page).read_text(encoding="utf-8"), root / "results"))


def show(result: Result) -> None:
    """Print a result as a table, its headline below."""
    table = Table("what", "system", "median", "low to high", "unit", "n", title=f"{result.command}, {result.date}")
    for row in result.rows:
        table.add_row(row.what, row.system, number(row.value), spread(row), row.unit, str(row.n))
    console = Terminal()
    console.print(table)
    for name, value in result.headline.items():
        console.print(f"{name} = {number(value)}")


def _with_peer(module: str) -> dict[str, str]:
    """Return an environment in which a peer can be imported.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec(module):
        return dict(os.environ)
    folder = settings().work / _PEERS
    if not (folder / module).is_dir():
        raise ConfigError(
            "the peer is not installed", value=module, next_step="make bench-env   (or compare with its twin: --twin)"
        )
    # after the environment's own packages: the peer is the only thing that differs between the two
    known = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [known, str(folder)]))}


def _run_module(module: str, arguments: list[str], environment: dict[str, str]) -> None:
    status = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False).returncode
    if status:
        raise ServiceError(
            "the benchmark failed; what it said stands above",
            value=f"exit status {status}",
            next_step="fix what it says and run the benchmark again",
        )
