"""The candidates of a night's listings and the evidence about them, each searched and compared once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ecclip.formats.sampling import smallest_hashes
from ecclip.tasks.config import GroupProductsConfig
from ecclip.tasks.matching.candidates import Pairs, blocking_pairs, joined, neighbour_pairs
from ecclip.tasks.matching.described import Described, describe_listings
from ecclip.tasks.matching.evidence import Evidence, add_context, evidence_of, pair_evidence
from ecclip.tasks.rows import Rows

_LESSONS = 20_000  # listings whose pairs teach: of a larger shop a sample; by judgment


class Matcher:
    """Compares the listings of a snapshot that are new or changed, and those that teach.

    Args:
        rows: the listings with their embeddings.
        compared: what they are compared by beside those, see ``describe_listings``.
        fresh: which of them are new or changed, bool [N].
        taught: which of them are labelled, bool [N]; of many a sample teaches.
        cfg: how candidates are found.
    """

    def __init__(
        self,
        rows: Rows,
        compared: Sequence[Mapping[str, Any]],
        fresh: np.ndarray,
        taught: np.ndarray,
        cfg: GroupProductsConfig,
    ) -> None:
        self._rows, self._cfg, self._fresh, self._taught = rows, cfg, fresh, taught
        self._described: Described = describe_listings(compared)
        self._sample = _sampled(rows, taught)
        self._candidates = self._around(fresh | self._sample)

    def asked(self, known: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """Return the candidates of fresh listings whose known groups [N] differ, and their places [K]."""
        left, right = self._candidates
        return self._chosen((self._fresh[left] | self._fresh[right]) & (known[left] != known[right]))

    def lessons(self) -> tuple[Pairs, np.ndarray]:
        """Return the candidates of listings that teach, among labelled ones, and their places [K]."""
        left, right = self._candidates
        asked = self._sample[left] | self._sample[right]
        return self._chosen(asked & self._taught[left] & self._taught[right])

    def evidence(self, places: np.ndarray) -> Evidence:
        """Return the evidence about the candidates at ``places`` [K], beside the others of their listings."""
        return evidence_of(self._described, self._candidates, places, self._numbers)

    @cached_property
    def _numbers(self) -> np.ndarray:
        left, right = self._candidates
        return add_context(pair_evidence(self._described, left, right, self._cosines()), left, right, len(self._fresh))

    def _chosen(self, wanted: np.ndarray) -> tuple[Pairs, np.ndarray]:
        places = np.flatnonzero(wanted)
        return (self._candidates[0][places], self._candidates[1][places]), places

    def _around(self, queries: np.ndarray) -> Pairs:
        """Return the candidates of ``queries`` (bool [N]) and of the listings that they meet: those are the context."""
        blocks = blocking_pairs(self._described, self._cfg.search.max_block)
        left, right = self._search(queries, blocks)
        met = queries.copy()
        met[left], met[right] = True, True
        return (left, right) if np.array_equal(met, queries) else self._search(met, blocks)

    def _search(self, queries: np.ndarray, blocks: Pairs) -> Pairs:
        cfg, rows = self._cfg, self._rows
        parts = []
        for name in ("both", "text"):
            members = np.flatnonzero(rows.has(name))
            vectors, asked = rows.vectors(name)[members], np.flatnonzero(queries)
            parts.append(neighbour_pairs(vectors, members, asked, cfg.matching.neighbours, cfg.search))
        near = queries[blocks[0]] | queries[blocks[1]]
        return joined([*parts, (blocks[0][near], blocks[1][near])], len(queries))

    def _cosines(self) -> dict[str, np.ndarray]:
        """Return cosines by photos, by titles, and of one's photo with the other's title (the mean of both ways)."""
        (left, right), image, text = self._candidates, self._rows.image, self._rows.text

        def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            return np.einsum("md,md->m", one[left], other[right])

        cross = (cosine(image, text) + cosine(text, image)) / 2
        return {"image": cosine(image, image), "text": cosine(text, text), "cross": cross}


def _sampled(rows: Rows, taught: np.ndarray) -> np.ndarray:
    """Return which of the listings that are ``taught`` (bool [N]) are drawn, bool [N]."""
    places = np.flatnonzero(taught)
    chosen = smallest_hashes([str(rows.listing_ids[place]) for place in places], _LESSONS)
    sample = np.zeros(len(taught), dtype=bool)
    sample[places[chosen]] = True
    return sample
