"""Offers as the systems see them: words, embeddings of the frozen text tower, and evidence about pairs of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.bench.quality import kept
from ecclip.core import settings
from ecclip.model import Towers, TowersConfig, build_towers, encode_texts
from ecclip.tasks.matching.candidates import Pairs, blocking_pairs, joined
from ecclip.tasks.matching.described import Described, describe_listings
from ecclip.tasks.matching.evidence import Evidence, add_context, evidence_of, pair_evidence

_NEIGHBOURS = 10  # of an offer that a pair is seen beside, by titles, words and characters each; by judgment
_TOKENS = 64  # of a text; these titles and descriptions are longer than the default's 32


@dataclass(frozen=True)
class Offers:
    """N offers; ``titles`` and ``texts`` are what the tower says of titles and of titles with descriptions, [N, d]."""

    table: np.ndarray
    described: Described
    titles: np.ndarray
    texts: np.ndarray

    def title_cosines(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the cosines of the tower's features of titles, float32 [M]."""
        return np.einsum("md,md->m", self.titles[left], self.titles[right])

    def word_cosines(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the cosines of tf-idf over the words of titles and descriptions, float32 [M]."""
        words = self.described.texts
        return np.asarray(words[left].multiply(words[right]).sum(axis=1)).ravel()

    def evidence(self, left: np.ndarray, right: np.ndarray) -> Evidence:
        """Return the evidence about pairs [M], each beside the other candidates of its two offers.

        Candidates know no labels: they are the same for every pair that is asked about, and those pairs themselves.
        """
        count = len(self.titles)
        one, other = joined([self.candidates, (left, right)], count)
        cosines = {
            "text": self.title_cosines(one, other),
            "cross": np.einsum("md,md->m", self.texts[one], self.texts[other]),
        }
        numbers = add_context(pair_evidence(self.described, one, other, cosines), one, other, count)
        asked = np.minimum(left, right) * count + np.maximum(left, right)
        return evidence_of(self.described, (one, other), np.searchsorted(one * count + other, asked), numbers)

    @cached_property
    def candidates(self) -> Pairs:
        """The nearest offers by titles, by words and by characters, and those that share a blocking key."""
        one, other = blocking_pairs(self.described, _NEIGHBOURS)
        apart = (self.table[one] != self.table[other]) | (not self.table.any())
        ways = [self.nearest(similarity, _NEIGHBOURS) for similarity in self.similarities()]
        return joined([*ways, (one[apart], other[apart])], len(self.titles))

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that ask and those that may match them: two tables, or all offers twice."""
        first = np.flatnonzero(self.table == 0)
        return first, np.flatnonzero(self.table == 1) if self.table.any() else first

    def similarities(self) -> Iterator[np.ndarray]:
        """Yield how similar the rows of both sides are, float32 [A, B], by titles, by words and by characters."""
        asking, asked = self.sides()
        yield self.titles[asking] @ self.titles[asked].T
        for matrix in (self.described.texts, self.described.characters):
            yield (matrix[asking] @ matrix[asked].T).toarray()

    def nearest(self, similarity: np.ndarray, neighbours: int) -> Pairs:
        """Return the pairs of every offer of both sides with its nearest ones, by similarities [A, B]."""
        asking, asked = self.sides()
        if not self.table.any():
            np.fill_diagonal(similarity, -np.inf)
        parts = [nearest_rows(similarity, asking, asked, neighbours)]
        if self.table.any():
            parts.append(nearest_rows(similarity.T, asked, asking, neighbours))
        return joined(parts, len(self.titles))


def nearest_rows(similarity: np.ndarray, asking: np.ndarray, asked: np.ndarray, neighbours: int) -> Pairs:
    """Return rows ``asking`` [A] with each one's nearest among ``asked`` [B], by similarities [A, B]; in no order."""
    found = np.argpartition(-similarity, neighbours, axis=1)[:, :neighbours]
    return np.repeat(asking, neighbours), asked[found.ravel()]


def read_offers(name: str, rows: Sequence[Mapping[str, Any]], table: np.ndarray, work: Path) -> Offers:
    """Return offers as the systems see them; what the tower says of them is kept in ``work`` by the name of the set.

    ``table`` [N] is 0 or 1 for the table of an offer; all 0 where every offer may match every other.
    """
    titles = [row["title"] for row in rows]
    texts = [f"{row['title']} {row['description'] or ''}" for row in rows]
    found = kept(work / f"embedded {name}.npz", lambda: _encoded(titles, texts))
    return Offers(table, describe_listings(rows), found["titles"], found["texts"])


def title_features(titles: Sequence[str]) -> np.ndarray:
    """Return what the frozen text tower says of titles, float32 [N, d] of length 1."""
    return _features(build_towers(TowersConfig(max_tokens=_TOKENS)), titles)


def _encoded(titles: Sequence[str], texts: Sequence[str]) -> dict[str, np.ndarray]:
    towers = build_towers(TowersConfig(max_tokens=_TOKENS))
    return {"titles": _features(towers, titles), "texts": _features(towers, texts)}


def _features(towers: Towers, texts: Sequence[str]) -> np.ndarray:
    """Return the features of the frozen tower, which its projection has never been trained for, float32 [N, d]."""
    outputs = encode_texts(towers, towers.preprocessor(), texts, 32, settings().torch_threads, what="outputs")
    return outputs[:, towers.cfg.embedding_dim :]
