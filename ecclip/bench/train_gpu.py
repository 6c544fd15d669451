"""Training on one GPU: pairs per second, plain and accumulated, against the card's own ceilings and against open_clip.

``python -m ecclip.bench.train_gpu --out results/train_gpu.json`` takes less than eight minutes and needs torch, timm,
transformers, numpy, pyarrow and Pillow. Figures are written at once, so an interrupted run keeps them.
``--device cpu --tiny`` proves the script where there is no GPU.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ecclip.bench.machine import new_result
from ecclip.bench.result import write_result
from ecclip.bench.training.gpu_sections import GpuBenchmark
from ecclip.bench.training.gpu_sizes import FULL, TINY

_LOG = logging.getLogger("ecclip.bench")
_LONGEST = 450.0  # seconds; a section starts only if enough of them are left


def run(chosen: argparse.Namespace, folder: Path) -> int:
    """Run the sections, write after each of them, and return how many failed; their traces go to the log."""
    device = torch.device(chosen.device)
    options = [f"--{name}" for name in ("tiny", "fast-kernels") if getattr(chosen, name.replace("-", "_"))]
    options += [f"--device {chosen.device}"] if chosen.device != "cuda" else []
    command = " ".join(["python -m ecclip.bench.train_gpu", *options])
    result = new_result(command, device=chosen.device, precision="bfloat16", cuda=torch.version.cuda)
    sizes = TINY if chosen.tiny else FULL
    benchmark = GpuBenchmark(sizes, device, result, folder, reproducible=not chosen.fast_kernels)
    first, *others = sizes.tokens
    sections: list[tuple[float, str, Callable[[], None]]] = [
        (0, "ceilings", benchmark.ceilings),
        (0, f"{first} tokens", lambda: benchmark.steps(first, compiled=False)),
        (60, "loader", benchmark.loader),
        *(
            (100, f"{tokens} tokens", lambda tokens=tokens: benchmark.steps(tokens, compiled=False))
            for tokens in others
        ),
    ]
    if device.type == "cuda":
        sections.append((180, f"{first} tokens, compiled", lambda: benchmark.steps(first, compiled=True)))
    failed, began = 0, time.monotonic()
    for needed, name, section in sections:
        passed = time.monotonic() - began
        if chosen.seconds - passed < needed:
            _LOG.warning("%s is left out: %.0f s are left, it needs %.0f", name, chosen.seconds - passed, needed)
            continue
        _LOG.info("%s, after %.0f s", name, passed)
        try:
            section()
        except RuntimeError:  # torch's: out of memory, no such kernel; the other sections still tell something
            _LOG.exception("%s failed", name)
            failed += 1
        write_result(result, chosen.out)
    return failed


def main() -> None:
    """Read the arguments, run, end with the number of failed sections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/train_gpu.json"), help="file of results")
    parser.add_argument("--device", default="cuda", help="torch device")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny towers: proves that the script runs; its figures mean nothing"
    )
    parser.add_argument("--fast-kernels", action="store_true", help="ecclip without its reproducible kernels")
    parser.add_argument("--seconds", type=float, default=_LONGEST, help="no section begins that would end later")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts, for all systems alike
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run(chosen, Path(folder)))


if __name__ == "__main__":
    main()
