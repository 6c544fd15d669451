"""A reproducible sample: the listings whose ids have the smallest hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def smallest_hashes(ids: Sequence[str], count: int) -> list[int]:
    """Return the indices of the ``count`` ids with the smallest sha256, in the order of the hashes.

    The choice is a pure function of the set of ids: it depends on neither their order nor a random generator, and a
    listing that is added or removed changes at most one element of the sample (bottom-k sampling).
    """
    return sorted(range(len(ids)), key=lambda place: hashlib.sha256(ids[place].encode()).digest())[:count]


def sets_thresholds(group_id: str) -> bool:
    """Say of a group of split validation whether its listings set the thresholds of `auto`: two groups of three do.

    Whatever is chosen on validation (strength, calibration) is chosen on the other third, so that the thresholds rest
    on answers to listings that nothing was fitted to. A pure function of the id and independent of the split, which
    another hash decides.
    """
    digest = hashlib.sha256(f"thresholds {group_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 3 != 0
