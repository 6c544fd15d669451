"""Columns of the heads' matrix that say how near a listing lies to what categories of the taxonomy are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecclip.formats.taxonomy.prompts import EmbeddedTaxonomy
from ecclip.tasks.heads.linear import LinearHead
from ecclip.tasks.heads.matrix import MODALITIES, Heads, join
from ecclip.tasks.heads.reading import blocks_read
from ecclip.tasks.kinds.task import NO_LABEL
from ecclip.tasks.rows import Rows
from ecclip.tasks.unseen.suggested import ahead

CATEGORY = "category"
Path = tuple[str, ...]
_ROUNDING = 1e-4  # of logits in float32: the listing that sets an offset stays below it; by judgment


@dataclass(frozen=True)
class Asked:
    """Categories that listings are compared with: learnt ones, paths [n], and those without examples, paths [U]."""

    learnt: list[Path]
    unseen: list[Path]
    taxonomy: EmbeddedTaxonomy

    @property
    def rows(self) -> np.ndarray:
        """Return the places in the taxonomy, int64 [n + U], the learnt ones first."""
        return self.taxonomy.rows_of([*self.learnt, *self.unseen])

    def without(self, held_out: Sequence[Path]) -> Asked:
        """Return them as if some learnt ones had no examples."""
        kept = [path for path in self.learnt if path not in held_out]
        return Asked(kept, [*self.unseen, *held_out], self.taxonomy)


@dataclass(frozen=True)
class Compared:
    """How near listings lie to the categories of ``asked`` by one modality.

    ``head`` is of the joined inputs, [width, n + U]. ``offset`` is taken off those without examples already.
    """

    head: LinearHead
    offset: float
    asked: Asked

    def ahead(self, joined: np.ndarray) -> np.ndarray:
        """Return float [N, U] for joined inputs [N, width]: above 0 where a category would be suggested."""
        logits, learnt = self.head.logits(joined), len(self.asked.learnt)
        return ahead(logits[:, learnt:], logits[:, :learnt])


def asked_of(rows: Rows, heads: Heads) -> Asked | None:
    """Return the learnt categories and the leaves that are none; None without a taxonomy, or where all are learnt."""
    if rows.categories is None:
        return None
    known = {*rows.categories.paths}
    labels = [tuple(path) for head in heads.parts if head.name == CATEGORY for path in head.labels]
    learnt = [path for path in labels if path in known]
    unseen = sorted(rows.categories.leaves - {*learnt})
    return Asked(learnt, unseen, rows.categories) if unseen else None


def learnt_numbers(asked: Asked, rows: Rows) -> np.ndarray:
    """Return the place of each listing's category among the learnt ones, int64 [N]; NO_LABEL for any other."""
    number = {path: place for place, path in enumerate(asked.learnt)}
    return np.array([number.get(tuple(path or ()), NO_LABEL) for path in rows.given[CATEGORY]], dtype=np.int64)


def joined_inputs(rows: Rows, heads: Heads, places: np.ndarray) -> np.ndarray:
    """Return what the heads read of some listings [M], float32 [M, width]."""
    return join(*rows.inputs(features=heads.read_features, places=places), heads.widths)


def compare(asked: Asked, rows: Rows, heads: Heads, modality: str, share: float) -> Compared | None:
    """Return how near listings lie to categories by a modality; at most ``share`` of those of learnt ones get a wrong
    suggestion outside split test.

    A photo is compared with what the towers make of a text, a title by the text tower's own features where heads read
    them. None where no listing has the modality, or those of learnt categories are too few to see the share.
    """
    y = learnt_numbers(asked, rows)
    known = y >= 0 if asked.learnt else np.ones(len(y), dtype=bool)
    usable = (rows.split != "test") & rows.has(modality) & known
    places = rows.sample(np.flatnonzero(usable), len(asked.rows))
    if int(share * len(places)) < 1:
        return None
    joined = joined_inputs(rows, heads, places)
    head = _nearness(asked, joined, _evenly(y[places]), heads, modality)
    if head is None:
        return None
    learnt = len(asked.learnt)
    logits = head.logits(joined)
    furthest = ahead(logits[:, learnt:], logits[:, :learnt]).max(axis=1)
    offset = max(float(np.quantile(furthest, 1.0 - share, method="higher")), 0.0) + _ROUNDING
    bias = head.bias.copy()
    bias[learnt:] -= offset
    return Compared(LinearHead(head.weight, bias), offset, asked)


def with_unseen(heads: Heads, rows: Rows, share: float) -> Heads:
    """Return heads with the columns by which categories without examples are suggested, if there are any."""
    asked = asked_of(rows, heads)
    found = {} if asked is None else {name: compare(asked, rows, heads, name, share) for name in MODALITIES}
    compared = {name: one for name, one in found.items() if one is not None}
    if asked is None or not compared:
        return heads
    size, start = len(asked.rows), heads.weight.shape[2]
    weight = np.zeros((len(MODALITIES), sum(heads.widths), size), dtype=np.float32)
    bias = np.zeros((len(MODALITIES), size), dtype=np.float32)
    for name, one in compared.items():
        weight[MODALITIES.index(name)], bias[MODALITIES.index(name)] = one.head.weight, one.head.bias
    described = {
        "start": start,
        "stop": start + size,
        "learnt": len(asked.learnt),
        "paths": [list(path) for path in asked.unseen],
        "offsets": {name: one.offset for name, one in compared.items()},
    }
    return replace(
        heads,
        weight=np.concatenate([heads.weight, weight], axis=2),
        bias=np.concatenate([heads.bias, bias], axis=1),
        unseen=described,
    )


def _nearness(asked: Asked, joined: np.ndarray, weights: np.ndarray, heads: Heads, modality: str) -> LinearHead | None:
    """Return a head [width, n + U] of similarities, less what a listing of any category has by mean, in units of their
    spread; of both, photo and title count the same.
    """
    size = len(asked.rows)
    weight, bias = np.zeros((joined.shape[1], size)), np.zeros(size)
    for name in ("image", "text") if modality == "both" else (modality,):
        described, columns = _described(asked, heads, name)
        if described.shape[1] != len(columns):
            return None
        similar = joined[:, columns] @ described.T
        mean = weights @ similar
        spread = max(float((similar - mean).std()), 1e-12)
        weight[columns] = described.T / spread
        bias -= mean / spread
    return LinearHead(weight, bias)


def _described(asked: Asked, heads: Heads, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what categories are to one tower, float [n + U, F], and the columns [F] that it is compared with."""
    taxonomy = asked.taxonomy
    features = name == "text" and heads.read_features and taxonomy.features.shape[1] == heads.widths[1] - heads.dim
    columns = blocks_read(name, "towers" if features else "embedding", heads.dim, heads.widths)[0]
    vectors = taxonomy.features if features else taxonomy.embeddings
    return vectors[asked.rows].astype(np.float64), columns


def _evenly(y: np.ndarray) -> np.ndarray:
    """Return weights [N] that sum to 1 and let each category count the same, or each listing where none has one."""
    counts = np.bincount(y[y >= 0], minlength=1)
    weights = np.where(y >= 0, 1.0 / np.maximum(counts, 1)[np.maximum(y, 0)], 0.0)
    return weights / weights.sum() if weights.any() else np.full(len(y), 1.0 / max(len(y), 1))
