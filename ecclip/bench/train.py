"""Training against open_clip: same towers, same data, same threads, in turns.

``python -m ecclip.bench.train --out results/train.json``; ``ecclip bench train`` calls it and prints the table. Needs
torch, timm, transformers, numpy, pyarrow and Pillow; the peer is open-clip-torch (requirements/bench.txt).
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from ecclip.bench.machine import new_result
from ecclip.bench.result import Result, write_result
from ecclip.bench.training import tasks as tasks
from ecclip.bench.training.sizes import SIZES, Sizes
from ecclip.bench.training.tasks import in_own_process
from ecclip.model import WAIT_POLICY

TWIN = "twin of open_clip's step"
_MIB = 2**20  # bytes


def run(size: str, command: str, peer: str) -> Result:
    """Run the whole benchmark and return its figures.

    Args:
        size: ``full`` or ``quick``.
        command: what the result says it was made by.
        peer: ``open_clip``, or its twin where the package is not installed; without it, no headline compares.
    """
    sizes = SIZES[size]
    result = new_result(command, threads=sizes.threads, wait_policy=WAIT_POLICY, size=size)
    _speed(result, sizes, peer)
    _peaks(result, sizes, peer)
    _memory_curve(result, sizes)
    _loader(result, sizes)
    return result


def _speed(result: Result, sizes: Sizes, peer: str) -> None:
    seconds = in_own_process(tasks.speed, sizes, peer)
    ours, theirs = seconds["ecclip"], seconds[peer]
    for micro_batches in map(str, sizes.micro_batches):
        what = f"training step of {sizes.batch} pairs, K={micro_batches}"
        for system, values in (("ecclip", ours), (peer, theirs)):
            result.add(what, system, "pairs/s", [sizes.batch / value for value in values[micro_batches]])
        ratios = [b / a for a, b in zip(ours[micro_batches], theirs[micro_batches], strict=True)]
        ratio = result.add(f"speed ratio, K={micro_batches}", f"ecclip / {peer}", "×", ratios)
        if peer == "open_clip":
            result.head(**{f"ratio_open_clip_k{micro_batches}": ratio})
    first, last = str(sizes.micro_batches[0]), str(sizes.micro_batches[-1])
    for system, values in (("ecclip", ours), (peer, theirs)):
        costs = [k / plain for plain, k in zip(values[first], values[last], strict=True)]
        cost = result.add(f"cost of accumulation, K={last} / K={first}", system, "×", costs)
        if system == "ecclip":
            result.head(accumulation_cost=cost)


def _peaks(result: Result, sizes: Sizes, peer: str) -> None:
    for micro_batches in sizes.micro_batches:
        for system in ("ecclip", peer):
            peak = in_own_process(tasks.peak, sizes, system, micro_batches)
            what = f"peak memory of that step above model and moments, K={micro_batches}"
            result.add(what, system, "MiB", [peak / _MIB])


def _memory_curve(result: Result, sizes: Sizes) -> None:
    """Measure memory from the smallest to the largest batch; the ratio leaves out what must grow with the batch."""
    apart = {}
    for batch in sizes.memory_batches:
        peak = in_own_process(tasks.peak_of_batch, sizes, batch)
        grown = embedding_bytes(batch, sizes.memory_towers.embedding_dim)
        apart[batch] = peak - grown
        what = f"peak memory, effective batch {batch:,} in micro-batches of {sizes.memory_micro_batch}"
        result.add(what, "ecclip", "MiB", [peak / _MIB])
        result.add(f"of which embeddings and their gradients at {batch:,} (formula)", "ecclip", "MiB", [grown / _MIB])
    smallest, largest = min(apart), max(apart)
    ratio = apart[largest] / apart[smallest]
    result.add(f"memory ratio apart from these, {largest:,} / {smallest:,}", "ecclip", "×", [ratio])
    result.head(memory_ratio_4096_to_256=ratio)


def embedding_bytes(batch: int, width: int) -> int:
    """Return what grows with the effective batch: both embeddings and both gradients, float32 [B, d] each.

    The blocks of the similarity matrix, O(block_rows * B), live between the two passes, when no activations do.
    """
    return 4 * batch * width * 4


def _loader(result: Result, sizes: Sizes) -> None:
    figures = in_own_process(tasks.loader, sizes)
    steps = f"{figures['batches']:.0f} steps of {sizes.trainer.sampler.batch_size}"
    result.add(f"training from JPEG shards, {steps}", "ecclip", "pairs/s", [figures["pairs_per_second"]])
    result.add("of it waiting for the loader", "ecclip", "share", [figures["wait_share"]])
    decoding = "decoding, varying and tokenizing while the towers compute"
    result.add(decoding, "ecclip", "pairs/s a thread", [figures["decoded_per_second"]])
    result.add(decoding, "ecclip", "pairs/s of processor time", [figures["decoded_per_processor_second"]])
    result.head(loader_wait_share=figures["wait_share"])


def find_peer() -> str:
    """Return the peer that is installed here."""
    return "open_clip" if importlib.util.find_spec("open_clip_train") else TWIN


def main() -> None:
    """Read the arguments, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/train.json"), help="file of results")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny towers, seconds: proves that the benchmark runs; its figures mean nothing",
    )
    parser.add_argument("--twin", action="store_true", help="compare with a plain twin of open_clip's step")
    chosen = parser.parse_args()
    peer = TWIN if chosen.twin else find_peer()
    if peer == TWIN and not chosen.twin:
        parser.error("open_clip is not installed; type: make bench-env   (or compare with its twin: --twin)")
    options = [f"--{name}" for name in ("quick", "twin") if getattr(chosen, name)]
    result = run("quick" if chosen.quick else "full", " ".join(["ecclip bench train", *options]), peer)
    write_result(result, chosen.out)


if __name__ == "__main__":
    main()
