"""What thousands of categories cost: fitting their heads from photo, title and both, and answering one listing.

``python -m ecclip.bench.tasks.many_categories --out results/many_categories.json``. Embeddings are synthetic: leaves
around categories of two levels above them, twenty training listings a leaf, five thousand listings to choose on and as
many to prove thresholds by, two thousand to be asked about. Seconds are processor time of one thread, which other work
on the machine hardly changes; memory is the peak of what numpy has allocated.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ecclip.bench.machine import new_result
from ecclip.bench.measure import processor_seconds
from ecclip.bench.result import Result, write_result
from ecclip.tasks import EvaluateConfig, Heads, Rows, train_heads
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Target

_WIDTH = 256  # numbers of an embedding, as the default towers give
_TRAIN = 20  # training listings of a leaf
_OTHERS = {"validation": 5000, "thresholds": 5000, "test": 2000}  # listings
_NOISE = 8.0  # of a listing around its leaf, which lies around its parent as that around its own; by judgment
_REGRESSION = (100, 500)  # leaves; more of them take a solver many minutes
_DISCRIMINANTS = (100, 500, 5000)  # leaves that the closed form is measured with
_NEVER = 10**9  # leaves above which the closed form is used
_ASKED = 50  # listings that are asked one by one


def shop(leaves: int, seed: int = 0) -> tuple[Rows, Target]:
    """Return listings with photo and title, and the categories that they have; ten leaves have one parent."""
    chance = np.random.default_rng(seed)
    paths = [[f"r{leaf // 100}", f"p{leaf // 10}", f"l{leaf}"] for leaf in range(leaves)]
    levels = [np.array([leaf // size for leaf in range(leaves)]) for size in (100, 10, 1)]
    counts = {"train": _TRAIN * leaves, **_OTHERS}
    split = np.repeat(list(counts), list(counts.values()))
    y = np.concatenate([np.repeat(np.arange(leaves), _TRAIN), chance.integers(0, leaves, sum(_OTHERS.values()))])
    sides = []
    for _ in ("photo", "title"):
        centres = sum(chance.standard_normal((int(level.max()) + 1, _WIDTH), np.float32)[level] for level in levels)
        vectors = np.asarray(centres)[y] + _NOISE * chance.standard_normal((len(y), _WIDTH), np.float32)
        sides.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    ids = np.array([f"{number}" for number in range(len(y))], dtype=object)
    rows = Rows(ids, ids.tolist(), {"category": [paths[leaf] for leaf in y]}, np.arange(len(y)), split, *sides)
    return rows, Target("category", "category", "softmax", paths, y)


def enter_fits(result: Result, leaves: int, system: str, above: int) -> Heads:
    """Enter time and memory of fitting the heads of so many leaves, and how many test listings they get right."""
    rows, target = shop(leaves)
    cfg = EvaluateConfig(heads={"discriminant_above": above})
    tracemalloc.start()
    seconds, trained = processor_seconds(lambda: train_heads(rows, [target], cfg))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    test = rows.split == "test"
    answers = trained.heads.logits(rows.image[test], rows.text[test], "both").argmax(axis=1)
    what = f"{leaves:,} leaves"
    result.add(f"{what}: fit of the heads", system, "s of processor", [seconds])
    result.add(f"{what}: peak memory of the fit", system, "GiB", [peak / 2**30])
    result.add(f"{what}: right by photo and title", system, "share", [float((answers == target.y[test]).mean())])
    return trained.heads


def enter_answers(result: Result, heads: Heads) -> None:
    """Enter what one listing takes after the towers, and what the heads weigh, whole and as the graph has them."""
    leaves = heads.weight.shape[2]
    rows, _ = shop(leaves)
    asked = np.flatnonzero(rows.split == "test")[:_ASKED]
    factors = heads.factors()
    left, right = (factors[0][2], factors[1]) if factors else (heads.weight[2], np.eye(leaves, dtype=np.float32))
    joined = np.concatenate([rows.image[asked], rows.text[asked]], axis=1).astype(np.float32)
    decider = Decider(heads.describe(), TASKS)
    logits = heads.logits(rows.image[asked], rows.text[asked], "both")
    turned = joined @ left @ right + heads.bias[2]
    what = f"{leaves:,} leaves"
    for system, call in (
        ("whole matrix", lambda place: joined[place : place + 1] @ heads.weight[2]),
        ("as exported", lambda place: joined[place : place + 1] @ left @ right),
    ):
        result.add(f"{what}: logits of one listing", system, "ms", _each(call))
    result.add(f"{what}: decision of one listing", "heads", "ms", _each(lambda at: decider.answer(logits[at], "both")))
    result.add(f"{what}: size of the heads", "whole matrix", "MiB", [heads.weight.nbytes / 2**20])
    result.add(
        f"{what}: size of the heads",
        "as exported",
        "MiB",
        [sum(one.nbytes for one in factors or (heads.weight,)) / 2**20],
    )
    result.add(
        f"{what}: largest difference of a logit", "as exported", "logits", [float(np.abs(turned - logits).max())]
    )


def _each(call: Callable[[int], object]) -> list[float]:
    """Return the processor milliseconds of a call for each listing asked, after one that warms it up."""
    call(0)
    found = []
    for place in range(_ASKED):
        before = time.process_time()
        call(place)
        found.append(1000 * (time.process_time() - before))
    return found


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/many_categories.json"), help="file of results")
    parser.add_argument("--quick", action="store_true", help="seconds: proves that it runs; its figures mean nothing")
    chosen = parser.parse_args()
    result = new_result(f"python -m ecclip.bench.tasks.many_categories{' --quick' if chosen.quick else ''}")
    with threadpool_limits(limits=1):  # as the stage fits
        for leaves in (20,) if chosen.quick else _REGRESSION:
            enter_fits(result, leaves, "logistic regression", _NEVER)
        for leaves in (600,) if chosen.quick else _DISCRIMINANTS:
            heads = enter_fits(result, leaves, "discriminants", 2)
        enter_answers(result, heads)
    write_result(result, chosen.out)


if __name__ == "__main__":
    main()
