"""What the towers' outputs tell of a shop's own labels: linear probes on held-out listings, in closed form.

Training has no heads. The probe stands in for them where weights are compared: a ridge regression on what the heads
will read, learnt on listings of split train and measured on validation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from ecclip.formats.columns import GROUP_ID, IMAGE_SHA256, SPLIT
from ecclip.formats.sampling import smallest_hashes
from ecclip.formats.snapshot import Snapshot
from ecclip.model import Towers, encode_images, encode_texts
from ecclip.train.engine.retrieval import recall_at_k

_PENALTIES = (0.01, 0.1, 1.0, 10.0)  # in units of the mean squared length of a row; the best on validation, by judgment
_MOST_LABELS = 4  # kinds of labels: the category and the three most frequent attributes, as a rule; by judgment
_LEAST_ROWS = 5  # train listings that a value needs, and validation listings a label; by judgment
_RANK = 10  # of the recall, the widest that training reports


@dataclass(frozen=True)
class Labelled:
    """A listing with a photo; ``labels`` maps a kind (``category``, an attribute's name) to its value."""

    photo: bytes
    title: str
    group: str
    labels: Mapping[str, str]


class Probe:
    """Measures towers on listings with photo, title and labels.

    Args:
        load: returns the listings to learn from and those to measure on; called once, when they are needed.
        workers: threads that encode.
    """

    def __init__(self, load: Callable[[], tuple[list[Labelled], list[Labelled]]], workers: int) -> None:
        self._load, self._workers = load, workers

    def __call__(self, towers: Towers) -> dict[str, float]:
        """Return the share of the labels' variance that is explained on validation, by label and modality, and recall.

        ``category/image``, ``<attribute>/text`` and so on, and ``retrieval``: recall@10, the mean of both directions.
        Empty where there is no label, or no listing to measure on.
        """
        train, held = self._listings
        if not train or not held:
            return {}
        listings = [*train, *held]
        image, text = self._encode(towers, listings)
        seen = np.flatnonzero(np.isfinite(image).all(axis=1) & np.isfinite(text).all(axis=1))
        listings, image, text = [listings[row] for row in seen], image[seen], text[seen]
        known = int((seen < len(train)).sum())
        found: dict[str, float] = {}
        for label in _kinds(train):
            values = [one.labels.get(label) for one in listings]
            for modality, outputs in (("image", image), ("text", text)):
                with threadpool_limits(limits=1, user_api="blas"):  # sums in one order, as in the stages of the tasks
                    explained = _explained(outputs, values, known)
                if explained is not None:
                    found[f"{label}/{modality}"] = explained
        if found and known < len(listings):
            groups = np.unique([one.group for one in listings[known:]], return_inverse=True)[1]
            dim = towers.cfg.embedding_dim
            found["retrieval"] = _recall(image[known:, :dim], text[known:, :dim], groups)
        return found

    @cached_property
    def _listings(self) -> tuple[list[Labelled], list[Labelled]]:
        return self._load()

    def _encode(self, towers: Towers, listings: Sequence[Labelled]) -> tuple[np.ndarray, np.ndarray]:
        """Return what the towers give out of photos and titles, float32 [N, ...]; NaN of a photo without pixels."""
        preprocessor, workers = towers.preprocessor(), self._workers
        photos, titles = [one.photo for one in listings], [one.title for one in listings]
        return (
            encode_images(towers, preprocessor, photos, workers=workers, what="outputs"),
            encode_texts(towers, preprocessor, titles, workers=workers, what="outputs"),
        )


def labelled(folder: Path, most: int) -> tuple[list[Labelled], list[Labelled]]:
    """Return listings with a photo of splits train, ``most`` at the most, and validation, half as many.

    They are those of the smallest hashes of their ids: the same ones every night.

    Raises:
        ContractError: the snapshot in ``folder`` has a schema that this code does not know, or cannot be read.
    """
    snapshot = Snapshot(folder)
    columns = ["listing_id", "title", "category", "attributes", GROUP_ID, IMAGE_SHA256]
    found: list[list[dict[str, Any]]] = []
    for split, limit in (("train", most), ("validation", most // 2)):
        table = snapshot.table(columns, (pc.field(SPLIT) == split) & pc.is_valid(pc.field(IMAGE_SHA256)))
        kept = sorted(smallest_hashes(table["listing_id"].to_pylist(), limit))
        found.append(table.take(np.array(kept, dtype=np.int64)).to_pylist())
    photos = dict(snapshot.photos({row[IMAGE_SHA256] for rows in found for row in rows}))
    train, held = (
        [_labelled(row, photos[row[IMAGE_SHA256]]) for row in rows if row[IMAGE_SHA256] in photos] for rows in found
    )
    return train, held


def _labelled(row: Mapping[str, Any], photo: bytes) -> Labelled:
    category = {"category": "/".join(row["category"])} if row["category"] else {}
    attributes = {f"attribute:{name}": value for name, value in (row["attributes"] or ())}
    return Labelled(photo, row["title"] or "", row[GROUP_ID], category | attributes)


def _kinds(train: Sequence[Labelled]) -> list[str]:
    counts = Counter(kind for one in train for kind in one.labels)
    return sorted(counts, key=lambda kind: (kind != "category", -counts[kind], kind))[:_MOST_LABELS]


def _recall(image: np.ndarray, text: np.ndarray, groups: np.ndarray) -> float:
    ways = ((text, image), (image, text))
    return float(np.mean([recall_at_k(*way, groups, (_RANK,))[_RANK] for way in ways]))


def _explained(x: np.ndarray, values: Sequence[str | None], train: int) -> float | None:
    """Return 1 - squared error / variance on the rows after the first ``train`` ones; None where nothing is asked.

    The ridge regression is solved once for all penalties, by the eigenvectors of the rows' inner products.
    """
    counts = Counter(value for value in values[:train] if value)
    codes = {value: code for code, value in enumerate(sorted(v for v, n in counts.items() if n >= _LEAST_ROWS))}
    y = np.array([codes.get(value or "", -1) for value in values])
    is_train = np.arange(len(y)) < train
    learnt, asked = (y >= 0) & is_train, (y >= 0) & ~is_train
    if len(codes) < 2 or asked.sum() < _LEAST_ROWS:
        return None
    centred = (x - x[learnt].mean(axis=0)).astype(np.float64)
    wanted = np.eye(len(codes))[y]
    mean = wanted[learnt].mean(axis=0)
    scale, axes = np.linalg.eigh(centred[learnt] @ centred[learnt].T)
    if not scale.mean() > 0:
        return 0.0  # towers that say the same of everything
    begun, cross = axes.T @ (wanted[learnt] - mean), centred[asked] @ centred[learnt].T @ axes
    spread = np.square(wanted[asked] - mean).sum()
    errors = [
        np.square(wanted[asked] - mean - cross @ (begun / (scale + penalty * scale.mean())[:, None])).sum()
        for penalty in _PENALTIES
    ]
    return float(1 - min(errors) / spread)
