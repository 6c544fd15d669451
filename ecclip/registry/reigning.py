"""The version that answers: what ``live.json`` says, found in the registry by the bundle's digest.

@champion is a wish until it agrees. Training starts from, and gates compare with, what answers.
"""

from __future__ import annotations

from ecclip.core import IntegrityError, settings
from ecclip.formats.live import Live, read_live
from ecclip.registry.store import has_store
from ecclip.registry.versions import ModelRef, champion, version_of, version_of_lineage


def live_record() -> Live | None:
    """Return what answers by the last deployment, or None before the first.

    Raises:
        IntegrityError: ``live.json`` cannot be read, or is gone.
    """
    return read_live(settings().work / "model_repository")


def deployed() -> ModelRef | None:
    """Return the version that answers by the last deployment, or None before the first.

    A registry without it, an empty one too, is a broken one, never that of a first night.

    Raises:
        IntegrityError: the registry does not know the bundle that answers, or ``live.json`` cannot be read.
        ServiceError: the registry does not answer.
    """
    live = live_record()
    if live is None:
        return None
    found = entered(live) if has_store() else None
    if found is None:
        raise IntegrityError(
            "the registry does not know the bundle that answers: it is empty, older or another one",
            value=f"bundle {live.bundle or live.lineage}",
            limit=settings().tracking_uri,
            next_step="ecclip registry rebuild, or set ECCLIP_MLFLOW_TRACKING_URI if it is another one",
        )
    return found


def entered(live: Live) -> ModelRef | None:
    """Return the version of what answers, or None where the registry does not have it."""
    return version_of(live.bundle) if live.bundle else version_of_lineage(live.lineage)


def reigning() -> ModelRef | None:
    """Return the version that answers; where nothing was ever deployed, the one that carries @champion, or None.

    Raises:
        IntegrityError: the registry does not know the bundle that answers: that is never taken for "no champion".
        ServiceError: the registry does not answer.
    """
    return deployed() or champion()
