"""Write a small bundle as the export stage would: manifest, lineage, report, heads; the weights are random bytes."""

from __future__ import annotations

from pathlib import Path

from ecclip.core import Manifest, canonical_json, digest_of, sha256_bytes, write_atomic
from ecclip.core._files import list_files


def write_bundle(
    folder: Path, night: str = "2026-11-01", metrics: dict[str, float] | None = None, seed: int = 0
) -> Path:
    """Write a bundle into ``folder`` and return it; another seed is another digest."""
    snapshot = sha256_bytes(f"snapshot {night}".encode())
    metrics = {"category/both/top1": 0.8, "category/both/ece": 0.05} if metrics is None else metrics
    lineage = {"snapshot": snapshot, "train": "0" * 64, "git_commit": "c" * 40, "night": night}
    report = {"schema": "ecclip.report/1", "metrics": metrics, "slices": {}, "rows": {"test": 10}}
    labels = [["home", "mugs"], ["home", "lamps"]]
    heads = {
        "dim": 8,
        "modalities": ["image", "text", "both"],
        "tasks": [{"name": "category", "kind": "softmax", "start": 0, "stop": 2, "labels": labels}],
        "thresholds": {},
    }
    write_atomic(
        folder / "bundle.json", canonical_json({"schema": "ecclip.bundle/1", "lineage": lineage, "metrics": metrics})
    )
    write_atomic(folder / "report.json", canonical_json(report))
    write_atomic(folder / "report.html", "<!doctype html><title>report</title><p>category</p>\n")
    write_atomic(folder / "heads" / "heads.json", canonical_json(heads))
    write_atomic(folder / "towers" / "towers.safetensors", bytes((seed + index) % 256 for index in range(4096)))
    manifest = Manifest(
        stage="export",
        key=f"{night}-{seed}",
        config={"opset": 18, "batch": {"largest": 32}},
        inputs={"snapshot": snapshot, "trained": "0" * 64, "evaluated": "1" * 64},
        read={},
        written={"files": 5},
        dropped={},
        detail={},
        files=list_files(folder),
    )
    write_atomic(folder / "manifest.json", canonical_json(manifest.model_dump()))
    assert len(digest_of(folder)) == 64
    return folder
