"""The catalog: speed of its stages, growth with the number of listings, a night of few changes, quality of groups.

``python -m ecclip.bench.catalog --out results/catalog.json``; ``ecclip bench catalog`` calls it and prints the table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ecclip.bench.machine import new_result
from ecclip.bench.nightly.group_quality import TRUTHS, PairQuality, pair_quality, photo_quality, read_groups, read_truth
from ecclip.bench.nightly.image_stage import image_stage_rates
from ecclip.bench.nightly.ingest_twin import ingest_rates
from ecclip.bench.nightly.nights import STAGES, group_once, sample_nights, workspace
from ecclip.bench.nightly.planted import HARMLESS, planted_faults
from ecclip.bench.nightly.texts import write_listings
from ecclip.bench.result import Result, write_result
from ecclip.core import settings
from ecclip.formats.snapshot import GROUPS
from ecclip.sample import SampleConfig

_GIB = 2**30  # bytes
_MILLION = 1_000_000  # listings of the largest night
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        listings: of the nights without photos that are grouped, smallest first.
        night: the nights with photos, the second of which changes one listing in a hundred.
        markets: the nights whose groups are compared with the ground truth.
        photos: of the image stage.
        rows: of ingestion.
    """

    listings: tuple[int, ...]
    night: SampleConfig
    markets: tuple[SampleConfig, ...]
    photos: int
    rows: int


def _sample(**values: object) -> SampleConfig:
    return SampleConfig.model_validate(values)


_FEW_CHANGES = {"nights": 2, "new_share": 0.003, "changed_share": 0.005, "deleted_share": 0.002}
SIZES = {
    "full": Sizes(
        listings=(10_000, 100_000, _MILLION),
        night=_sample(listings=10_000, image_size=800, **_FEW_CHANGES),
        markets=tuple(_sample(listings=1000, nights=1, seed=seed) for seed in (7, 11, 13, 17, 19)),
        photos=4000,
        rows=200_000,
    ),
    "quick": Sizes(
        listings=(200, 800),
        # so small a share would change nothing here, and an identical dump would be refused
        night=_sample(listings=60, image_size=96, nights=2, new_share=0.1, changed_share=0.1, deleted_share=0.05),
        markets=(_sample(listings=100, nights=1, image_size=96),),
        photos=64,
        rows=400,
    ),
}


def run(size: str, command: str, data: Path | None) -> Result:
    """Run the whole benchmark and return its figures; ``data`` holds public sets with photos, or is left out."""
    sizes = SIZES[size]
    result = new_result(command, size=size, spark=f"{settings().spark_master}, heap {settings().spark_driver_memory}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _rates(result, sizes, folder)
        _growth(result, sizes, folder)
        _few_changes(result, sizes, folder)
        _truth(result, sizes, folder)
        _public(result, data, folder)
    return result


def in_workspace(task: Callable[..., Answer], folder: Path, *arguments: object) -> Answer:
    """Return what a task returns in a new process with its own workspace, which ends with it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        return pool.submit(_start, task, folder, *arguments).result()


def _start(task: Callable[..., Answer], folder: Path, *arguments: object) -> Answer:
    with workspace(folder):
        return task(*arguments)


def _rates(result: Result, sizes: Sizes, folder: Path) -> None:
    photos = in_workspace(image_stage_rates, folder / "photos", folder / "photos" / "work", sizes.photos)
    ways = {
        "ecclip, Spark local[2]": photos.stage,
        "mapInArrow without a sandbox": photos.arrow,
        "two plain Python processes": photos.twin,
    }
    for system, rate in ways.items():
        result.add(f"photos verified, resized, hashed, written, {photos.photos:,} of 256 px", system, "1/s", [rate])
    result.head(image_stage_ratio=photos.ratio)
    rows = in_workspace(ingest_rates, folder / "rows", folder / "rows" / "work", sizes.rows)
    for system, rate in (("ecclip, Spark local[2]", rows.stage), ("two plain Python processes", rows.twin)):
        result.add(f"rows ingested from JSONL, {rows.rows:,}", system, "1/s", [rate])


def _growth(result: Result, sizes: Sizes, folder: Path) -> None:
    seconds = []
    for listings in sizes.listings:
        at = folder / f"text-{listings}"
        write_listings(at / "clean", listings)
        took, memory = in_workspace(group_once, at, at / "clean", at / "group")
        seconds.append(took)
        what = f"{listings:,} listings without photos grouped"
        result.add(f"{what}, start of Spark included", "ecclip, Spark local[2]", "s", [took])
        result.add(f"{what}, memory at its peak", "ecclip, Spark local[2]", "GiB", [memory / _GIB])
        if listings == _MILLION:
            result.head(million_listings_minutes=took / 60)
    exponent = float(np.polyfit(np.log(sizes.listings), np.log(seconds), 1)[0])
    what = f"growth of that time from {min(sizes.listings):,} to {max(sizes.listings):,}, fitted exponent"
    result.add(what, "ecclip, Spark local[2]", "", [exponent])
    result.head(growth_exponent=exponent)


def _few_changes(result: Result, sizes: Sizes, folder: Path) -> None:
    full, few = in_workspace(_two_nights, folder / "nights", sizes.night)
    what = f"{sizes.night.listings:,} listings with photos of {sizes.night.image_size} px"
    for name in STAGES:
        result.add(f"{what}, a full night: {name}", "ecclip, Spark local[2]", "s", [full[name]])
        result.add(f"the next night, one in a hundred changed: {name}", "ecclip, Spark local[2]", "s", [few[name]])
    share = sum(few.values()) / sum(full.values())
    result.add("the next night as a share of the full one", "ecclip, Spark local[2]", "share", [share])
    result.head(one_percent_night_share=share)


def _two_nights(cfg: SampleConfig) -> tuple[dict[str, float], dict[str, float]]:
    """Return seconds by stage of both nights; a tiny night before them starts Spark and loads the libraries."""
    work = settings().work
    # of a later date, so that no night is compared with it
    sample_nights(work, _sample(listings=40, nights=1, image_size=96, first_night="2027-01-01"))
    full, few = sample_nights(work, cfg)
    return ({name: full[name].seconds for name in STAGES}, {name: few[name].seconds for name in STAGES})


def _truth(result: Result, sizes: Sizes, folder: Path) -> None:
    """Compare the groups and the refused rows of whole nights with the sample's ground truth."""
    found = true = both = 0
    planted: dict[str, tuple[int, int]] = {}
    for number, cfg in enumerate(sizes.markets):
        groups, faults = in_workspace(_market, folder / f"market-{number}", cfg)
        found, true, both = found + groups.found, true + groups.true, both + groups.both
        for name, (there, seen) in faults.items():
            before = planted.get(name, (0, 0))
            planted[name] = (before[0] + there, before[1] + seen)
    quality = PairQuality(found, true, both)
    what = f"pairs in one group, {len(sizes.markets)} sample nights of {sizes.markets[0].listings:,}"
    result.add(f"{what}: precision", "ecclip", "share", [quality.precision])
    result.add(f"{what}: recall", "ecclip", "share", [quality.recall])
    result.head(group_precision=quality.precision, group_recall=quality.recall)
    for name, (there, seen) in sorted(planted.items()):
        verb = "came through" if name in HARMLESS else "found"
        result.add(f"planted {name.replace('_', ' ')}, {there}: {verb}", "ecclip", "share", [seen / there])


def _market(cfg: SampleConfig) -> tuple[PairQuality, dict[str, tuple[int, int]]]:
    work, night = settings().work, cfg.first_night
    sample_nights(work, cfg)
    truth = work / "truth" / night / "truth.parquet"
    groups = read_groups(work / "nights" / night / "group" / GROUPS)
    faults = planted_faults(truth, work / "nights" / night, work / "snapshots" / night)
    return pair_quality(groups, read_truth(truth)), faults


def _public(result: Result, data: Path | None, folder: Path) -> None:
    for name in sorted(TRUTHS) if data is not None else ():
        qualities = in_workspace(photo_quality, folder / name, data, name)
        for system, quality in qualities.items():
            result.add(f"{name}, groups by photos: precision", system, "share", [quality.precision])
            result.add(f"{name}, groups by photos: recall", system, "share", [quality.recall])


def main() -> None:
    """Read the arguments, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/catalog.json"), help="file of results")
    parser.add_argument("--data", type=Path, help=f"folder with {', '.join(sorted(TRUTHS))}")
    parser.add_argument(
        "--quick", action="store_true", help="a minute: proves that the benchmark runs; its figures mean nothing"
    )
    chosen = parser.parse_args()
    options = [*(["--data DATA"] if chosen.data else []), *(["--quick"] if chosen.quick else [])]
    command = " ".join(["ecclip bench catalog", *options])
    result = run("quick" if chosen.quick else "full", command, chosen.data)
    write_result(result, chosen.out)


if __name__ == "__main__":
    main()
