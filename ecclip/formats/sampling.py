"""A sample that is the same one every time: the listings whose ids have the smallest hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def smallest_hashes(ids: Sequence[str], count: int) -> list[int]:
    """Return the places of the ``count`` ids with the smallest sha256, in the order of the hashes.

    The choice is a pure function of the set of ids: neither their order nor a generator has a say in it, and a listing
    that comes or goes changes one place of the sample at most.
    """
    return sorted(range(len(ids)), key=lambda place: hashlib.sha256(ids[place].encode()).digest())[:count]
