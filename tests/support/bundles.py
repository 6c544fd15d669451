"""Write a small bundle as the export stage would: manifest, lineage, report, heads; the weights are random bytes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from manifests import seal
from safetensors.numpy import save

from ecclip.core import digest_of, sha256_bytes, write_atomic
from ecclip.formats.bundle import REPORT_PAGE, Bundle, write_heads
from ecclip.formats.report import TaskReport

DIM = 8  # of the embeddings
_MODALITIES = ("image", "text", "both")


@dataclass(frozen=True)
class Taught:
    """What heads say: labels by head, their ``weight`` [3, 2 * DIM, C] and ``bias`` [3, C], and the evidence."""

    labels: Mapping[str, Sequence[Any]]
    weight: np.ndarray
    bias: np.ndarray
    evidence: bytes

    def write(self, bundle: Bundle, towers: str) -> None:
        """Write heads and evidence as ``evaluate`` does."""
        heads, start = [], 0
        for name, labels in self.labels.items():
            task = "attributes" if name.startswith("attribute:") else name
            stop = start + len(labels)
            told = {"task": task, "name": name, "loss": "softmax", "start": start, "stop": stop, "labels": [*labels]}
            heads.append(told)
            start = stop
        described = {
            "dim": DIM,
            "widths": [DIM, DIM],
            "modalities": [*_MODALITIES],
            "heads": heads,
            "thresholds": {name: dict.fromkeys(_MODALITIES, 2.0) for name in self.labels},
            "unlabelled": {},
            "towers": towers,
        }
        write_heads(bundle.heads, described)
        write_atomic(bundle.heads / "heads.safetensors", save({"weight": self.weight, "bias": self.bias}))
        write_atomic(bundle.evidence, self.evidence)


def write_bundle(
    folder: Path,
    night: str = "2026-11-01",
    metrics: dict[str, float] | None = None,
    seed: int = 0,
    rows: dict[str, int] | None = None,
    taught: Taught | None = None,
    embedded: str = "e" * 64,
    cells: dict[str, int] | None = None,
    snapshot: str = "",
) -> Path:
    """Write a bundle into ``folder`` and return it; another seed is another digest.

    ``rows`` and ``cells`` are what its report says of the listings behind the metrics, and beside the frozen start.
    Unless something else is ``taught``, its heads always answer the first of two categories. ``embedded`` and
    ``snapshot`` are digests of what it was made from.
    """
    snapshot = snapshot or sha256_bytes(f"snapshot {night}".encode())
    metrics = {"category/both/top1": 0.8, "category/both/ece": 0.05} if metrics is None else metrics
    write_atomic(folder / "towers" / "towers.safetensors", bytes((seed + index) % 256 for index in range(4096)))
    towers = digest_of(folder / "towers")
    parts = {"snapshot": snapshot, "train": "0" * 64, "towers": towers, "embed": embedded, "evaluate": "1" * 64}
    lineage = parts | {"git_commit": "c" * 40, "night": night}
    told = {"snapshot": snapshot, "trained": "0" * 64, "towers": towers, "embedded": embedded}
    bundle = Bundle(folder)
    bundle.write_description({"lineage": lineage, "metrics": metrics})
    bundle.write_report(TaskReport(metrics=metrics, rows={"test": 10, **(rows or {})}, lineage=told, cells=cells or {}))
    write_atomic(folder / REPORT_PAGE, "<!doctype html><title>report</title><p>category</p>\n")
    (taught or _constant(metrics.get("category/both/top1", 0.8))).write(bundle, towers)
    return seal(
        folder,
        "export",
        f"{night}-{seed}",
        config={"opset": 18, "batch": {"largest": 32}},
        inputs={"snapshot": snapshot, "trained": "0" * 64, "evaluated": "1" * 64},
        written={"files": 5},
    )


def _constant(top1: float, rows: int = 500) -> Taught:
    """Return heads that always answer the first label, and test listings of which that gets a share ``top1`` right."""
    labels = [["home", "mugs"], ["home", "lamps"]]
    right = round(top1 * rows) if math.isfinite(top1) else 0
    truth = np.where(np.arange(rows) < right, 0, 1)
    same = np.full((rows, DIM), DIM**-0.5, np.float32)
    evidence = packed_evidence([labels[place] for place in truth], same, truth[None], 10 * rows)
    bias = np.array([[1, 0]] * 3, np.float32)
    return Taught({"category": labels}, np.zeros((3, 2 * DIM, 2), np.float32), bias, evidence)


def packed_evidence(paths: Sequence[Sequence[str]], read: np.ndarray, truth: np.ndarray, test_listings: int) -> bytes:
    """Return evidence of listings with category ``paths``, of photo and title both ``read`` [n, DIM]."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        listing_ids=np.array([f"l{row:04d}" for row in range(len(read))]),
        given=np.array([json.dumps({"category": path}) for path in paths]),
        image=read,
        text=read,
        truth=truth,
        test_listings=np.array(test_listings),
    )
    return buffer.getvalue()
