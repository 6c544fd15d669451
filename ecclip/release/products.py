"""Whose products a night has: those of a model that has answered, or none."""

from __future__ import annotations

from typing import Any

from ecclip import registry
from ecclip.atomic import MANIFEST
from ecclip.core import ContractError, bind, digest_of, parse_night, settings
from ecclip.formats.bundle import Bundle
from ecclip.nights import work_path
from ecclip.pipeline import STEPS


def products_due(night: str) -> dict[str, Any]:
    """Say whether what embedded a night's listings is a model that has answered, and why its products do not follow.

    A night that is run again after newer ones, or whose champion answers once more after a rollback, may by now hold
    the embeddings of a training that nobody ever deployed.

    Raises:
        ContractError: the night has no embeddings or no bundle.
        IntegrityError: the description of its bundle cannot be read.
        ServiceError: the registry does not answer.
    """
    bind(night=parse_night(night), run=settings().run_id)
    embedded, bundle = (work_path(STEPS[name].output, night) for name in ("embed", "export"))
    for name, folder in (("embed", embedded), ("export", bundle)):
        if not (folder / MANIFEST).is_file():
            raise ContractError(
                f"the night has no output of {name}", value=folder, next_step=f"ecclip run {name} --night {night}"
            )
    reason = "the listings were embedded anew since the night's bundle was made"
    if Bundle(bundle).lineage().get("embed") == digest_of(embedded):
        reference = registry.version_of(digest_of(bundle))
        reason = "" if reference is not None and "champion_reason" in reference.tags else _why_not(reference)
    return {"night": night, "due": not reason, "reason": reason}


def _why_not(reference: registry.ModelRef | None) -> str:
    if reference is None:
        return "the night's bundle is not registered: it never answered"
    return f"the night's bundle is version {reference.version}, which never answered"
