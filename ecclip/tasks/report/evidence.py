"""What a report rests on, kept in the bundle: what the heads read of test listings, and the truth about them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ecclip.core import IntegrityError, write_atomic
from ecclip.formats.bundle import EVIDENCE
from ecclip.formats.sampling import smallest_hashes
from ecclip.tasks.heads.matrix import MODALITIES, Heads
from ecclip.tasks.kinds import TASKS, Target
from ecclip.tasks.report.slices import catalog_parts
from ecclip.tasks.rows import Rows

_MOST_LISTINGS = 2000  # bounds the size of a bundle; by judgment
FROZEN_LOGITS = "frozen_logits"


def write_evidence(
    rows: Rows,
    targets: list[Target],
    heads: Heads,
    folder: Path,
    frozen: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Keep what the heads read and the truth of at most 2000 test listings: those of the smallest hash of their id.

    ``frozen`` are the logits [T, C] of the frozen start by modality, of heads in the same order and all test listings.
    """
    test = np.flatnonzero(rows.split == "test")
    sample = smallest_hashes([str(rows.listing_ids[index]) for index in test], _MOST_LISTINGS)
    kept = np.sort(test[sample])
    read = {name: rows.given[name] for task in TASKS for name in task.evidence}
    given = [json.dumps({name: values[index] for name, values in read.items()}, ensure_ascii=False) for index in kept]
    image, text = rows.inputs(features=heads.read_features)
    parts = catalog_parts(rows)
    logits: dict[str, Any] = (
        {}
        if not frozen
        else {FROZEN_LOGITS: np.stack([frozen[name][np.searchsorted(test, kept)] for name in MODALITIES], axis=1)}
    )
    buffer = io.BytesIO()
    np.savez(
        buffer,
        listing_ids=np.array([str(rows.listing_ids[index]) for index in kept], dtype=str),
        given=np.array(given, dtype=str),
        image=image[kept],
        text=text[kept],
        truth=np.array([target.y[kept] for target in targets], dtype=np.int64),
        test_listings=np.array(len(test)),
        groups=rows.groups[kept],
        part_names=np.array(list(parts), dtype=str),
        parts=np.array([members[kept] for members in parts.values()], dtype=bool),
        **logits,
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


def targets_of(heads: Heads, evidence: Mapping[str, np.ndarray]) -> list[Target]:
    """Return the truth of the listings kept, per head."""
    return [
        Target(head.task, head.name, head.loss, head.labels, truth)
        for head, truth in zip(heads.parts, evidence["truth"], strict=True)
    ]


def parts_of(evidence: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the listings of each part of the catalog, bool [n] by name."""
    return dict(zip(evidence["part_names"].tolist(), evidence["parts"], strict=True)) if "parts" in evidence else {}


def rows_of(evidence: Mapping[str, np.ndarray], dim: int) -> Rows:
    """Return the listings kept as rows of split test; ``dim`` of what is kept are the embedding, the rest features."""
    count = len(evidence["listing_ids"])
    given: list[dict[str, Any]] = [json.loads(text) for text in evidence["given"].tolist()]
    return Rows(
        listing_ids=evidence["listing_ids"],
        titles=[""] * count,
        given={name: [row[name] for row in given] for name in (given[0] if given else ())},
        groups=evidence.get("groups", np.arange(count)),
        split=np.full(count, "test"),
        image=evidence["image"][:, :dim],
        text=evidence["text"][:, :dim],
        image_features=evidence["image"][:, dim:],
        text_features=evidence["text"][:, dim:],
    )
