"""How sure the catalog is that a listing belongs to its group, for the labels of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecclip.formats.snapshot import Snapshot
from ecclip.train.data.pairs import Pairs


def group_certainty(snapshot: Path, pairs: Pairs, weak_groups: float) -> np.ndarray | None:
    """Return float32 [N], from 0 to 1, for the pairs of a snapshot; None where all groups count alike.

    A listing's certainty is 1 - weak_groups * (1 - w), where w is the weight of the strongest evidence that holds it in
    its group, and 1 for a listing that is alone.

    Raises:
        ContractError: the snapshot has a schema that this code does not know.
    """
    if weak_groups == 0:
        return None
    evidence = Snapshot(snapshot).strongest_evidence()
    weights = np.array([evidence.get(listing, 1.0) for listing in pairs.listing_ids()], dtype=np.float32)
    return np.asarray(1 - weak_groups * (1 - weights), dtype=np.float32)
