"""Model versions of the registry: find one by alias, by number, by digest, or all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ecclip.core import ContractError
from ecclip.formats.bundle import lineage_of
from ecclip.registry.store import CHALLENGER, CHAMPION, MODEL, aliases, answering, client

# tags of a champion: what it replaced when it first became one, for people and by its bundle
PREVIOUS, PREVIOUS_DIGEST = "previous_champion", "previous_champion_digest"


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """One registered version: its number, the bundle it stands for, and every tag that it carries."""

    version: str
    digest: str
    run_id: str
    night: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def lineage_id(self) -> str:
        """The lineage id that every answer of this bundle carries."""
        return lineage_of(self.digest)


def champion() -> ModelRef | None:
    """Return the version that carries @champion, or None before the first promotion.

    Raises:
        ServiceError: the registry does not answer. No answer is never taken for "no champion".
    """
    with answering():
        version = aliases(client()).get(CHAMPION)
        return None if version is None else _reference(client().get_model_version(MODEL, version))


def undecided() -> ModelRef | None:
    """Return the challenger that is neither champion nor refused yet, or None.

    Raises:
        ServiceError: the registry does not answer.
    """
    with answering():
        version = aliases(client()).get(CHALLENGER)
        found = None if version is None else _reference(client().get_model_version(MODEL, version))
    refused = found is None or "refused" in (found.tags.get("gate"), found.tags.get("blessing"))
    return None if refused else found


def model_version(version: str) -> ModelRef:
    """Return one version by its number.

    Raises:
        ContractError: there is no such version.
        ServiceError: the registry does not answer.
    """
    found = [reference for reference in all_versions() if reference.version == str(version)]
    if not found:
        raise ContractError(
            "the registry has no such version",
            value=version,
            next_step="ecclip registry rebuild, if it was there before",
        )
    return found[0]


def tag_version(version: str, tags: Mapping[str, str]) -> None:
    """Set tags of a version; each is shown on the version's page in the registry.

    Raises:
        ServiceError: the registry does not answer, or has no such version.
    """
    with answering():
        for name, value in tags.items():
            client().set_model_version_tag(MODEL, version, name, value)


def version_of(digest: str) -> ModelRef | None:
    """Return the version made from a bundle digest, or None; the oldest where a crash of the store left two."""
    return _oldest_with("bundle_digest", digest)


def version_of_lineage(lineage_id: str) -> ModelRef | None:
    """Return the version whose answers carry a lineage id, or None; the oldest where there are two."""
    return _oldest_with("lineage_id", lineage_id)


def replaced_by(reference: ModelRef, versions: Sequence[ModelRef]) -> ModelRef | None:
    """Return which of ``versions`` a champion replaced when it first became champion, found by its bundle; or None."""
    digest, number = (reference.tags.get(name, "") for name in (PREVIOUS_DIGEST, PREVIOUS))
    same = (one for one in versions if (one.digest == digest if digest else one.version == number))
    return next(same, None)


def _oldest_with(tag: str, value: str) -> ModelRef | None:
    with answering():
        found = client().search_model_versions(f"name='{MODEL}' and tag.{tag}='{value}'")
        return min(map(_reference, found), key=lambda reference: int(reference.version), default=None)


def all_versions() -> list[ModelRef]:
    """Return all versions, oldest first."""
    with answering():
        store = client()
        found: list[Any] = []
        token = None
        while True:
            page = store.search_model_versions(f"name='{MODEL}'", max_results=1000, page_token=token)
            found.extend(page)
            token = page.token
            if not token:
                break
        by_version: dict[str, list[str]] = {}
        for alias, version in aliases(store).items():
            by_version.setdefault(version, []).append(alias)
        references = [_reference(version, by_version.get(str(version.version), [])) for version in found]
        return sorted(references, key=lambda reference: int(reference.version))


def _reference(version: Any, known_aliases: list[str] | None = None) -> ModelRef:
    tags = dict(version.tags)
    return ModelRef(
        version=str(version.version),
        digest=tags.get("bundle_digest", ""),
        run_id=version.run_id or "",
        night=tags.get("night", ""),
        aliases=tuple(sorted(version.aliases if known_aliases is None else known_aliases)),
        tags=tags,
    )
