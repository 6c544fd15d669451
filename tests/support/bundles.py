"""Write a small bundle as the export stage would: manifest, lineage, report, heads; the weights are random bytes."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
from manifests import seal
from safetensors.numpy import save

from ecclip.core import canonical_json, digest_of, sha256_bytes, write_atomic
from ecclip.formats.bundle import HEADS_FILE, REPORT_PAGE, Bundle
from ecclip.formats.report import TaskReport


def write_bundle(
    folder: Path,
    night: str = "2026-11-01",
    metrics: dict[str, float] | None = None,
    seed: int = 0,
    rows: dict[str, int] | None = None,
) -> Path:
    """Write a bundle into ``folder`` and return it; another seed is another digest.

    ``rows`` are what its report says of the listings behind the metrics.
    """
    snapshot = sha256_bytes(f"snapshot {night}".encode())
    metrics = {"category/both/top1": 0.8, "category/both/ece": 0.05} if metrics is None else metrics
    write_atomic(folder / "towers" / "towers.safetensors", bytes((seed + index) % 256 for index in range(4096)))
    towers = digest_of(folder / "towers")
    parts = {"snapshot": snapshot, "train": "0" * 64, "towers": towers, "embed": "e" * 64, "evaluate": "1" * 64}
    lineage = parts | {"git_commit": "c" * 40, "night": night}
    told = {"snapshot": snapshot, "trained": "0" * 64, "towers": towers, "embedded": "e" * 64}
    report = TaskReport(metrics=metrics, rows={"test": 10, **(rows or {})}, lineage=told)
    labels = [["home", "mugs"], ["home", "lamps"]]
    heads = {
        "dim": 8,
        "widths": [8, 8],
        "modalities": ["image", "text", "both"],
        "heads": [{"task": "category", "name": "category", "loss": "softmax", "start": 0, "stop": 2, "labels": labels}],
        "thresholds": {"category": dict.fromkeys(("image", "text", "both"), 2.0)},
        "unlabelled": {},
        "towers": towers,
    }
    bundle = Bundle(folder)
    bundle.write_description({"lineage": lineage, "metrics": metrics})
    bundle.write_report(report)
    write_atomic(folder / REPORT_PAGE, "<!doctype html><title>report</title><p>category</p>\n")
    write_atomic(bundle.heads / HEADS_FILE, canonical_json(heads))
    tensors = {"weight": np.zeros((3, 16, 2), np.float32), "bias": np.array([[1, 0]] * 3, np.float32)}
    write_atomic(folder / "heads" / "heads.safetensors", save(tensors))
    write_atomic(bundle.evidence, _evidence(metrics.get("category/both/top1", 0.8), labels))
    return seal(
        folder,
        "export",
        f"{night}-{seed}",
        config={"opset": 18, "batch": {"largest": 32}},
        inputs={"snapshot": snapshot, "trained": "0" * 64, "evaluated": "1" * 64},
        written={"files": 5},
    )


def _evidence(top1: float, labels: list[list[str]], rows: int = 500) -> bytes:
    """Return test listings of which heads that always answer the first label get a share ``top1`` right."""
    right = round(top1 * rows) if math.isfinite(top1) else 0
    truth = np.where(np.arange(rows) < right, 0, 1)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        listing_ids=np.array([f"l{row:04d}" for row in range(rows)]),
        given=np.array([json.dumps({"category": labels[place]}) for place in truth]),
        image=np.full((rows, 8), 8**-0.5, np.float32),
        text=np.full((rows, 8), 8**-0.5, np.float32),
        truth=truth[None],
        test_listings=np.array(10 * rows),
    )
    return buffer.getvalue()
