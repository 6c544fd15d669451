"""Bundles beside each other on the test listings of one night."""

from __future__ import annotations

from pathlib import Path

from ecclip.core import ContractError, IntegrityError, digest_of, settings
from ecclip.formats.bundle import Bundle
from ecclip.formats.report import Rescored


def score_beside(challenger: Path, other: Path | None) -> Rescored:
    """Return what a bundle and another answer to the test listings that the first one keeps.

    The listings' photos and titles come from the night's snapshot; the other's towers embed them. None stands for the
    frozen start, whose answers the bundle keeps.

    Raises:
        ContractError: the workspace's snapshot of the night is not the one that the bundle was made from, or a schema
            is not known.
        IntegrityError: a part of a bundle cannot be read, or the snapshot is gone.
        ModelError: the other's towers cannot be loaded by this version.
    """
    from ecclip.tasks import load_heads, read_evidence, rescore

    if other is None:
        return rescore(challenger, None, None, None)
    from ecclip.embed import embed_listings

    snapshot, ids = _snapshot_of(challenger), read_evidence(challenger)["listing_ids"].tolist()
    heads = load_heads(Bundle(other).heads)
    image, text = embed_listings(snapshot, Bundle(other).towers, ids, features=heads.read_features)
    return rescore(challenger, other, image, text)


def _snapshot_of(bundle: Path) -> Path:
    """Return the folder of the snapshot that a bundle was made from."""
    lineage = Bundle(bundle).lineage()
    folder = settings().work / "snapshots" / lineage.get("night", "")
    if not folder.is_dir() or not lineage.get("night"):
        raise IntegrityError(
            "the snapshot of the bundle's night is gone", value=folder, next_step=f"dvc checkout publish@{folder.name}"
        )
    if digest_of(folder) != lineage.get("snapshot"):
        raise ContractError(
            "the snapshot of the night is not the one that the bundle was made from",
            value=digest_of(folder),
            limit=lineage.get("snapshot"),
            next_step="train the night again: ecclip run train",
        )
    return folder
