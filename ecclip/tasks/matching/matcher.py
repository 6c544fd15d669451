"""The candidates of a night's listings and the evidence about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ecclip.formats.sampling import smallest_hashes
from ecclip.tasks.config import GroupProductsConfig
from ecclip.tasks.matching.candidates import Pairs, blocking_pairs, joined, neighbour_pairs
from ecclip.tasks.matching.described import Described, describe_listings
from ecclip.tasks.matching.evidence import Evidence, evidence_of
from ecclip.tasks.rows import Rows

_LESSONS = 20_000  # listings whose pairs teach: of a larger shop a sample; by judgment


class Matcher:
    """Compares the listings of a snapshot.

    Args:
        rows: the listings with their embeddings.
        compared: what they are compared by beside those, see ``describe_listings``.
        cfg: how candidates are found.
    """

    def __init__(self, rows: Rows, compared: Sequence[Mapping[str, Any]], cfg: GroupProductsConfig) -> None:
        self._rows, self._cfg = rows, cfg
        self._compared = compared

    @cached_property
    def _described(self) -> Described:
        return describe_listings(self._compared)

    @cached_property
    def _blocks(self) -> Pairs:
        return blocking_pairs(self._described, self._cfg.search.max_block)

    def asked(self, fresh: np.ndarray, known: np.ndarray) -> Pairs:
        """Return the candidates of ``fresh`` listings (bool [N]) whose known groups [N] differ."""
        left, right = self._candidates(fresh)
        apart = known[left] != known[right]
        return left[apart], right[apart]

    def lessons(self, taught: np.ndarray) -> tuple[Evidence, Pairs]:
        """Return evidence and candidates of listings that teach (bool [N]), of many a sample, among each other."""
        places = np.flatnonzero(taught)
        chosen = smallest_hashes([str(self._rows.listing_ids[place]) for place in places], _LESSONS)
        sample = np.zeros(len(taught), dtype=bool)
        sample[places[chosen]] = True
        left, right = self._candidates(sample)
        both = taught[left] & taught[right]
        pairs = left[both], right[both]
        return self.evidence(pairs), pairs

    def evidence(self, pairs: Pairs) -> Evidence:
        """Return the evidence about pairs, beside the other candidates of their listings."""
        count = len(self._rows.listing_ids)
        involved = np.zeros(count, dtype=bool)
        for side in pairs:
            involved[side] = True
        one, other = joined([self._candidates(involved), pairs], count) if len(pairs[0]) else pairs
        return evidence_of(self._described, (one, other), pairs, self._cosines(one, other))

    def _candidates(self, queries: np.ndarray) -> Pairs:
        cfg, rows = self._cfg, self._rows
        asked = np.flatnonzero(queries)
        parts = []
        for name in ("both", "text"):
            members = np.flatnonzero(rows.has(name))
            vectors = rows.vectors(name)[members]
            parts.append(neighbour_pairs(vectors, members, asked, cfg.matching.neighbours, cfg.search))
        left, right = self._blocks
        near = queries[left] | queries[right]
        return joined([*parts, (left[near], right[near])], len(queries))

    def _cosines(self, left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
        """Return cosines by photos, by titles, and of one's photo with the other's title (the mean of both ways)."""
        image, text = self._rows.image, self._rows.text

        def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            return np.einsum("md,md->m", one[left], other[right])

        cross = (cosine(image, text) + cosine(text, image)) / 2
        return {"image": cosine(image, image), "text": cosine(text, text), "cross": cross}
