"""What a report claims, counted once more from the parts that will serve: heads, and embeddings of test listings."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ecclip.core import ContractError, IntegrityError, write_atomic
from ecclip.formats.bundle import EVIDENCE, HEADS, Bundle
from ecclip.formats.sampling import smallest_hashes
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.fitting import Trained
from ecclip.tasks.heads.matrix import MODALITIES, Heads, load_heads
from ecclip.tasks.kinds import TASKS, Target
from ecclip.tasks.report.classes import report_tasks
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.rows import Rows

_MOST_LISTINGS = 2000  # bounds the size of a bundle; by judgment
_SHARES = ("top1", "top5", "accuracy", "auto_coverage")  # means over listings, which a sample of listings estimates
_FLIPS = 1.5  # answers that other processors may round the other way; by judgment
_OTHER_LIMIT = 0.02  # largest difference of a metric that is not a plain mean; by judgment
_FEW_ROUNDS = EvaluateConfig(bootstrap_rounds=20)  # the intervals are not compared


def write_evidence(rows: Rows, targets: list[Target], heads: Heads, folder: Path) -> None:
    """Keep what the heads read and the truth of at most 2000 test listings: those of the smallest hash of their id."""
    test = np.flatnonzero(rows.split == "test")
    sample = smallest_hashes([str(rows.listing_ids[index]) for index in test], _MOST_LISTINGS)
    kept = np.sort(test[sample])
    read = {name: rows.given[name] for task in TASKS for name in task.evidence}
    given = [json.dumps({name: values[index] for name, values in read.items()}, ensure_ascii=False) for index in kept]
    image, text = rows.inputs(features=heads.read_features)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        listing_ids=np.array([str(rows.listing_ids[index]) for index in kept], dtype=str),
        given=np.array(given, dtype=str),
        image=image[kept],
        text=text[kept],
        truth=np.array([target.y[kept] for target in targets], dtype=np.int64),
        test_listings=np.array(len(test)),
    )
    write_atomic(folder / EVIDENCE, buffer.getvalue())


def read_evidence(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays that :func:`write_evidence` kept, by name, with a row per test listing [n, ...].

    Raises:
        IntegrityError: there are none, or they cannot be read.
    """
    try:
        with np.load(io.BytesIO((folder / EVIDENCE).read_bytes())) as found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise IntegrityError(
            "the evidence of a report cannot be read", value=folder / EVIDENCE, next_step="run evaluate again"
        ) from error


def check_claims(folder: Path) -> int:
    """Compare report.json with what the heads beside it answer to the test listings kept; return the metrics compared.

    All metrics of ``TASKS`` are counted again, but for calibration before the temperature, which the heads no longer
    know. Where only a sample of the test listings was kept, shares alone are, within four standard errors. Matching and
    clustering hang on all listings and are not.

    Raises:
        ContractError: the report claims what the heads do not do; names metric, claim and value. Or it has a schema
            that this code does not know.
        IntegrityError: a part is missing or cannot be read.
    """
    heads, evidence = load_heads(folder / HEADS), read_evidence(folder)
    claims = Bundle(folder).report().metrics
    whole = int(evidence["test_listings"]) == len(evidence["listing_ids"])
    found = _measure(heads, evidence)
    compared = {name: claim for name, claim in claims.items() if _is_counted(name, heads, whole)}
    for name, claim in sorted(compared.items()):
        value = found.metrics.get(name)
        limit = _limit(name, found.rows.get(f"{name.rpartition('/')[0]}/test", 0), value, whole)
        if value is None or not abs(claim - value) <= limit:
            raise ContractError(
                f"the report claims what its heads do not do: {name} = {claim}",
                value="nothing to count it from" if value is None else value,
                limit=f"{limit:.4f} apart",
                next_step="run evaluate again, then export",
            )
    return len(compared)


def _measure(heads: Heads, evidence: dict[str, np.ndarray]) -> Findings:
    rows, findings = _rows(evidence, heads.dim), Findings()
    ones = {head.name: dict.fromkeys(MODALITIES, 1.0) for head in heads.parts}
    targets = [
        Target(head.task, head.name, head.loss, head.labels, truth)
        for head, truth in zip(heads.parts, evidence["truth"], strict=True)
    ]
    report_tasks(TASKS, rows, targets, Trained(heads, ones, {}), _FEW_ROUNDS, findings)
    return findings


def _rows(evidence: dict[str, np.ndarray], dim: int) -> Rows:
    count = len(evidence["listing_ids"])
    given: list[dict[str, Any]] = [json.loads(text) for text in evidence["given"].tolist()]
    return Rows(
        listing_ids=evidence["listing_ids"],
        titles=[""] * count,
        given={name: [row[name] for row in given] for name in (given[0] if given else ())},
        groups=np.arange(count),
        split=np.full(count, "test"),
        image=evidence["image"][:, :dim],
        text=evidence["text"][:, :dim],
        image_features=evidence["image"][:, dim:],
        text_features=evidence["text"][:, dim:],
    )


def _is_counted(name: str, heads: Heads, whole: bool) -> bool:
    task, _, metric = name.rsplit("/", 2) if name.count("/") >= 2 else ("", "", "")
    known = {head.name for head in heads.parts} | {task.name for task in TASKS}
    return task in known and metric != "ece_before" and (whole or metric in _SHARES)


def _limit(name: str, rows: int, value: float | None, whole: bool) -> float:
    metric = name.rpartition("/")[2]
    is_mean = metric in (*_SHARES, "present_accuracy", "auto_precision", "recall_at_precision") or metric.startswith(
        "level"
    )
    flips = _FLIPS / max(rows, 1)
    if whole:
        return flips if is_mean else max(_OTHER_LIMIT, flips)
    share = min(max(value or 0.0, 0.0), 1.0)
    return flips + 4 * math.sqrt((share * (1 - share) + 1 / max(rows, 1)) / max(rows, 1))
