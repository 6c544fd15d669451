"""The version that answers: what ``live.json`` says, found in the registry by the bundle's lineage id.

@champion is a wish until it agrees. Training starts from, and gates compare with, what answers.
"""

from __future__ import annotations

from ecclip.core import IntegrityError, digest_of, settings
from ecclip.formats.bundle import lineage_of
from ecclip.formats.live import read_live
from ecclip.registry.versions import ModelRef, champion, version_of_lineage


def deployed() -> ModelRef | None:
    """Return the version that answers by the last deployment, or None before the first.

    Raises:
        IntegrityError: the registry does not know the bundle that answers, or ``live.json`` cannot be read.
        ServiceError: the registry does not answer.
    """
    live = read_live(settings().work / "model_repository")
    if live is None:
        return None
    found = version_of_lineage(live.lineage)
    if found is None:
        raise IntegrityError(
            "the registry does not know the bundle that answers: it is empty, older or another one",
            value=f"lineage id {live.lineage}",
            limit=settings().tracking_uri,
            next_step=f"restore the registry, or ecclip release register --night {_night_of(live.lineage)}",
        )
    return found


def reigning() -> ModelRef | None:
    """Return the version that answers; where nothing was ever deployed, the one that carries @champion, or None.

    Raises:
        IntegrityError: the registry does not know the bundle that answers: that is never taken for "no champion".
        ServiceError: the registry does not answer.
    """
    return deployed() or champion()


def _night_of(lineage: str) -> str:
    for manifest in (settings().work / "nights").glob("*/bundle/manifest.json"):
        if lineage_of(digest_of(manifest.parent)) == lineage:
            return manifest.parents[1].name
    return "NIGHT"
