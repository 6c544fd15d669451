"""What a tracked training leaves: its output, and a spool of which nothing is delivered."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from registries import mlflow_client

from ecclip.core import canonical_json, write_atomic
from ecclip.spool import Spool


def write_tracked(output: Path, key: str, steps: int) -> Path:
    """Write metrics.jsonl and history.json into ``output`` and the spool beside it; return ``output``."""
    tracked = output.with_name("train.tracking") / key
    description = {"key": key, "name": "a training", "tags": {"snapshot_digest": "5" * 64}, "config": {"epochs": 2}}
    write_atomic(tracked / "run.json", canonical_json(description))
    write_atomic(tracked / "sample.txt", "1  red mug\n")
    spool = Spool(tracked / "metrics.jsonl")
    spool.mark("RUNNING")
    lines = []
    for step in range(steps):
        values = {"train/loss": 1 / (step + 3), "retrieval/text_to_image/recall@10": step / steps}
        spool.add(step, values | {"speed/pairs_per_second": 9.0})
        lines += [{"step": step, "name": name, "value": value} for name, value in values.items()]
    spool.mark("FINISHED")
    spool.close()
    write_atomic(output / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_atomic(output / "history.json", canonical_json({"run_key": key}))
    return output


def counts_of(run_id: str) -> Counter[tuple[str, int]]:
    """Return how often a run has each step of each metric."""
    names = mlflow_client().get_run(run_id).data.metrics
    history = [metric for name in names for metric in mlflow_client().get_metric_history(run_id, name)]
    return Counter((metric.key, metric.step) for metric in history)


def all_once(steps: int) -> Counter[tuple[str, int]]:
    """Return what :func:`counts_of` must be."""
    names = ("train/loss", "retrieval/text_to_image/recall_at_10", "speed/pairs_per_second")
    return Counter((name, step) for name in names for step in range(steps))
