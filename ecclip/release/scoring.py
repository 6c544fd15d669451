"""Bundles beside each other on the test listings of one night."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ecclip.core import ContractError, IntegrityError, digest_of, settings
from ecclip.formats.bundle import Bundle
from ecclip.formats.report import Rescored

if TYPE_CHECKING:
    from ecclip.tasks import Measured


class Examination:
    """A challenger's bundle, asked once about the test listings that it keeps and held against any number."""

    def __init__(self, challenger: Path) -> None:
        self._challenger = challenger

    def prove(self) -> int:
        """Compare what its report claims with what its heads answer; return the metrics compared.

        Raises:
            ContractError: the report claims what the heads do not do, or has a schema that is not known.
            IntegrityError: a part is missing or cannot be read.
        """
        from ecclip.tasks import check_claims

        return check_claims(self._challenger, self._measured)

    def beside(self, other: Path | None) -> Rescored:
        """Return what it and another bundle answer to the same listings.

        The listings' photos and titles come from the night's snapshot; the other's towers embed them. None stands for
        the frozen start, whose answers the bundle keeps.

        Raises:
            ContractError: the workspace's snapshot of the night is not the one that the bundle was made from, or a
                schema is not known.
            IntegrityError: a part of a bundle cannot be read, or the snapshot is gone.
            ModelError: the other's towers cannot be loaded by this version.
        """
        if other is None:
            found = self._measured
            return Rescored(ours=found.findings.metrics, theirs={}, cells=found.beside_frozen)
        from ecclip.embed import embed_listings
        from ecclip.tasks import load_heads

        ids, read_features = self._measured.listing_ids, load_heads(Bundle(other).heads).read_features
        image, text = embed_listings(self._snapshot, Bundle(other).towers, ids, features=read_features)
        return self._measured.beside(other, image, text)

    @cached_property
    def _measured(self) -> Measured:
        from ecclip.tasks import Measured

        return Measured(self._challenger)

    @cached_property
    def _snapshot(self) -> Path:
        return _snapshot_of(self._challenger)


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
