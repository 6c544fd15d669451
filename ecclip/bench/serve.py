"""The service under load: throughput against two peers, overload, leaks, changes of version, the alias in MLflow.

``python -m ecclip.bench.serve --out results/serve.json``; ``ecclip bench serve`` calls it and prints the table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ecclip.bench.answering.alias import measure_alias
from ecclip.bench.answering.deployments import measure_deployments
from ecclip.bench.answering.leaks import measure_leaks
from ecclip.bench.answering.onnx_bundle import WORKERS
from ecclip.bench.answering.overload import measure_overload
from ecclip.bench.answering.scene import Scene, products_of, serving
from ecclip.bench.answering.sizes import SIZES, Sizes
from ecclip.bench.answering.throughput import entered_peak, measure_throughput
from ecclip.bench.machine import new_result
from ecclip.bench.parity import night_folders
from ecclip.bench.result import Result, read_result, write_result
from ecclip.core import ConfigError, settings
from ecclip.errors import ResultError
from ecclip.serving import EmbeddedServer

LOAD_PARTS = ("throughput", "overload", "leaks", "deployments")  # on a server of their own
PARTS = (*LOAD_PARTS, "alias")  # in this workspace, with Airflow, MLflow and Triton


def run(result: Result, sizes: Sizes, parts: Sequence[str], nights: Sequence[str], peak: float | None = None) -> None:
    """Enter the figures of some parts; the two ``nights`` of this workspace give bundles and listings.

    ``peak`` is the server's largest rate, where it has been measured before.
    """
    if set(parts) & set(LOAD_PARTS):
        older, newer = (night_folders(settings().work, night) for night in nights)
        products = products_of(newer.snapshot, newer.landed, newer.ingested)
        with (
            tempfile.TemporaryDirectory(prefix="ecclip-serve-") as folder,
            serving(EmbeddedServer(Path(folder)), (older.bundle, newer.bundle), products) as scene,
        ):
            under_load(result, scene, sizes, parts, peak)
    if "alias" in parts:
        measure_alias(result, sizes)


def under_load(result: Result, scene: Scene, sizes: Sizes, parts: Sequence[str], peak: float | None = None) -> None:
    """Enter the figures of the parts that load a server; ``peak`` as for :func:`run`."""
    if "throughput" in parts:
        peak = measure_throughput(result, scene, sizes)
    later: dict[str, Callable[[], None]] = {
        "overload": lambda: measure_overload(result, scene, sizes, peak),
        "leaks": lambda: measure_leaks(result, scene, sizes),
        "deployments": lambda: measure_deployments(result, scene, sizes),
    }
    for part in parts:
        if part in later:
            later[part]()


def merged(old: Result, new: Result) -> Result:
    """Return a result in which the new figures replace those of the same name.

    Raises:
        ResultError: the old ones are of another commit or machine.
    """
    if (old.commit, old.machine) != (new.commit, new.machine):
        raise ResultError(
            "the other figures of this file are of another commit or machine",
            value=old.commit[:12],
            limit=new.commit[:12],
            next_step="measure them anew: ecclip bench serve, or name another file by --out",
        )
    replaced = {(row.what, row.system) for row in new.rows}
    rows = [row for row in old.rows if (row.what, row.system) not in replaced] + new.rows
    command = old.command if old.command == new.command else f"{old.command}; {new.command}"
    return replace(new, command=command, rows=rows, headline=old.headline | new.headline)


def newest_nights(work: Path) -> list[str]:
    """Return the last two nights of a workspace that have a bundle.

    Raises:
        ConfigError: there are fewer.
    """
    found = sorted(path.parent.parent.name for path in (work / "nights").glob("*/bundle/manifest.json"))
    if len(found) < 2:
        raise ConfigError(
            "a change of version needs the bundles of two nights", value=found, next_step="make demo, or two nights"
        )
    return found[-2:]


def main() -> None:
    """Read the arguments, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/serve.json"), help="file of results")
    parser.add_argument("--night", action="append", help="two of them, the older one first; default: the last two")
    parser.add_argument("--only", action="append", choices=PARTS, help="parts; the other figures of the file stay")
    parser.add_argument("--quick", action="store_true", help="seconds: proves that it runs; its figures mean nothing")
    chosen = parser.parse_args()
    words = [f"--night {night}" for night in chosen.night or ()] + [f"--only {part}" for part in chosen.only or ()]
    command = " ".join(["ecclip bench serve", *words, *(["--quick"] if chosen.quick else [])])
    size = "quick" if chosen.quick else "full"
    result = new_result(command, threads=settings().torch_threads, peer_processes=WORKERS, size=size)
    needs_nights = chosen.only != ["alias"]
    nights = (chosen.night or newest_nights(settings().work)) if needs_nights else ()
    if needs_nights and len(nights) != 2:
        parser.error("--night is given twice: the older night, then the newer one")
    old = read_result(chosen.out) if chosen.only and chosen.out.is_file() else None
    if old:
        merged(old, result)  # refused before anything is measured
    try:
        run(result, SIZES[size], chosen.only or LOAD_PARTS, nights, entered_peak(old) if old else None)
    finally:  # a part that failed is measured again with --only, the others stay
        if result.rows:
            write_result(merged(old, result) if old else result, chosen.out)


if __name__ == "__main__":
    main()
