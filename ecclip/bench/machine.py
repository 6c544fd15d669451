"""Facts about the machine and the code that decide a figure; no host names, no paths."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecclip.bench.result import Result

LIBRARIES = ("torch", "timm", "transformers", "numpy", "pillow", "open-clip-torch")
_ROOT = Path(__file__).parents[2]


def new_result(command: str, **facts: Any) -> Result:
    """Return an empty result that says where, when and of which code; ``facts`` join those of the machine."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Result(command, commit(), {**machine(), **facts}, today)


def machine(libraries: Sequence[str] = LIBRARIES) -> dict[str, Any]:
    """Return processor, cores, memory, accelerator and versions."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": _gpu(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version for name in libraries if (version := _version(name))},
    }


def commit(root: Path = _ROOT) -> str:
    """Return the commit that is checked out, marked ``+changes`` where the package differs from it."""
    head = _git(root, "rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("+changes" if _git(root, "status", "--porcelain", "--", "ecclip") else "")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""  # a bare image has no git, a copied tree has no history
    return done.stdout.strip()


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    numbers = ("cpu family", "model", "stepping")
    return f"{named.get('model name', platform.machine())} ({' '.join(named.get(name, '?') for name in numbers)})"


def _gpu() -> str | None:
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
