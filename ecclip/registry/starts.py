"""The stages that select the weights of a night: those that training starts from, and those that score its pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ecclip.core import (
    ConfigError,
    Counts,
    StageConfig,
    parse_night,
    stage,
    verify_folder,
)
from ecclip.formats.bundle import TOWERS
from ecclip.formats.start import Start, write_start
from ecclip.registry.bundles import stored_bundle
from ecclip.registry.reigning import reigning
from ecclip.registry.versions import ModelRef, all_versions, replaced_by


class StartConfig(StageConfig):
    """Where a night's training starts from."""

    mode: Literal["champion", "pretrained"] = Field(
        "champion",
        description="champion: fine-tune what is live, if anything is; "
        "pretrained: always start from the pretrained weights",
    )


class ReferenceConfig(StageConfig):
    """Which model decides whether photo and title of a listing belong together."""

    mode: Literal["champion", "none"] = Field(
        "champion",
        description="champion: what is live, if anything is; none: no listing is left out of training for its score",
    )


@stage
def reference(cfg: ReferenceConfig, cleaned: Path, output: Path) -> Counts:
    """Write ``start.json`` for a night's mismatch scores: the champion of the nights before with its towers, or none.

    Raises:
        ServiceError: the registry does not answer.
        IntegrityError: the champion's bundle is not in the bundle store, or its towers are damaged.
    """
    return _write(_champion_before(cleaned.parent.name) if cfg.mode == "champion" else None, output)


@stage
def start(cfg: StartConfig, snapshot: Path, output: Path) -> Counts:
    """Write ``start.json``: the champion of the nights before ``snapshot`` with its towers, or the pretrained towers.

    A champion of the same or a later night is skipped in favour of the one it replaced, so that a night that is run
    again, or filled in late, starts where it would have started then.

    The champion is what answers, whatever the alias says meanwhile.

    Raises:
        ServiceError: the registry does not answer; training never silently starts from scratch.
        IntegrityError: the registry does not know what answers, its bundle is not in the bundle store, or its towers
            are damaged.
    """
    return _write(_champion_before(snapshot.name) if cfg.mode == "champion" else None, output)


def _write(chosen: ModelRef | None, output: Path) -> Counts:
    if chosen is None:
        begun = Start()
    else:
        towers = _checked_bundle(chosen) / TOWERS
        begun = Start(version=chosen.version, bundle=chosen.digest, towers=towers)
    write_start(begun, output)
    described = {"kind": begun.kind} | ({"bundle": begun.bundle, "version": begun.version} if chosen else {})
    return Counts(written={"start": 1}, detail=described)


def _champion_before(name: str) -> ModelRef | None:
    reference = reigning()
    night = _night(name)
    if reference is None or night is None or reference.night < night:
        return reference
    versions, seen = all_versions(), set()
    while reference is not None and reference.night >= night and reference.digest not in seen:
        seen.add(reference.digest)
        reference = replaced_by(reference, versions)
    return None if reference is None or reference.night >= night else reference


def _night(name: str) -> str | None:
    try:
        return parse_night(name)
    except ConfigError:
        return None  # a snapshot outside the workspace's table of nights: nothing to compare with


def _checked_bundle(reference: ModelRef) -> Path:
    """Return the folder of a version's bundle, whose towers are what its manifest says."""
    folder = stored_bundle(reference)
    verify_folder(folder, TOWERS)
    return folder
