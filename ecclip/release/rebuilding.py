"""A registry that was lost or restored from a backup: entered again from bundles, audit file and ``live.json``.

What answers is never touched by it: the registry follows what answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from ecclip import registry
from ecclip.core import ConfigError, ContractError, IntegrityError, bind, get_logger, has_digest, parse_night, settings
from ecclip.formats.bundle import LINEAGE_DIGITS, Bundle
from ecclip.formats.live import Live
from ecclip.nights import work_path
from ecclip.pipeline import RETRAINED, STEPS
from ecclip.registry import ModelRef
from ecclip.release.nights import register_bundle
from ecclip.release.steps import deployment_lock

_EXPORTED = STEPS["export"].output


def rebuild_registry() -> dict[str, Any]:
    """Enter what the registry lacks, and let @champion be what answers; a registry that lacks nothing stays as it is.

    Every bundle of the bundle store becomes a version again, with what the audit file says of it, and no challenger.
    A bundle that cannot be entered (``left_out``, with the reason) does not hold up the others.

    Raises:
        IntegrityError: the bundle that answers is not in the bundle store, or is damaged; names it.
        ServiceError: the registry does not answer, or another deployment works for too long.
    """
    bind(run=settings().run_id)
    with deployment_lock():
        live = registry.live_record()
        entered, left_out = _enter_bundles()
        champion = None if live is None else _version_of(live, left_out)
        older = champion is not None and not registry.is_entered(champion)
        lost = champion is not None and (older or champion.digest in entered)
        if champion is not None and lost:
            registry.follow_answers(champion)  # first: an alias that lies elsewhere would be a person's wish
        _enter_changes(set(entered), everything=older)
        if champion is not None and lost and registry.last_told().get("bundle_digest") != champion.digest:
            registry.complete_champion(champion.version, "it answers, and the registry was rebuilt", move=True)
    return {
        "entered": {reference.version: reference.digest for reference in entered.values()},
        "left_out": left_out,
        "champion": None if champion is None else champion.version,
        "lineage_id": None if champion is None else champion.lineage_id,
    }


def _enter_bundles() -> tuple[dict[str, ModelRef], dict[str, str]]:
    """Register the bundles that the registry lacks, oldest first; return them by digest, and why others are not."""
    known = {reference.digest for reference in registry.all_versions()}
    lacking = [folder for folder in _stored() if folder.name not in known]
    entered: dict[str, ModelRef] = {}
    left_out: dict[str, str] = {}
    for night, folder in sorted(_with_nights(lacking, left_out)):
        try:
            entered[folder.name] = registry.model_version(_register(night, folder))
        except ContractError as error:
            left_out[folder.name] = str(error)
    for digest, reason in left_out.items():
        get_logger().warning("a bundle is not entered", bundle=digest, reason=reason)
    return entered, left_out


def _stored() -> list[Path]:
    """Return the folders of the bundle store that are what their names say."""
    found = (settings().work / "bundles").glob("[0-9a-f]" * LINEAGE_DIGITS + "*")
    return sorted(folder for folder in found if has_digest(folder, folder.name))


def _with_nights(folders: list[Path], left_out: dict[str, str]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        try:
            yield parse_night(Bundle(folder).lineage().get("night", "")), folder
        except (ConfigError, ContractError) as error:
            left_out[folder.name] = str(error)


def _register(night: str, stored: Path) -> str:
    """Enter a bundle, with the metrics of its training where that is still in its night; return the version."""
    for template in (_EXPORTED, RETRAINED[_EXPORTED]):
        bundle = work_path(template, night)
        if has_digest(bundle, stored.name):
            return str(register_bundle(bundle, night, challenges=False)["version"])
    return registry.register(stored, night, challenges=False).version


def _version_of(live: Live, left_out: dict[str, str]) -> ModelRef:
    found = registry.entered(live)
    if found is None:
        answers = live.bundle or live.lineage
        folder = settings().work / "bundles" / answers
        reason = next((why for digest, why in left_out.items() if digest.startswith(answers)), "it is not there")
        raise IntegrityError(
            "the bundle that answers cannot be entered into the registry",
            value=f"{answers}: {reason}",
            next_step=f"restore {folder} from a backup, then ecclip registry rebuild",
        )
    return found


def _enter_changes(entered: set[str], *, everything: bool) -> None:
    """Write on the versions what the audit file says became of them, as far as they lack it."""
    lines = registry.told_champions()
    for before, line in pairwise([{}, *lines]):
        if everything or entered & {line["bundle_digest"], before.get("bundle_digest")}:
            registry.enter_again(line, before)
