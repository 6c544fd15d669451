"""The nights of a workspace: which there are, which one each is compared with, and where their folders lie."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from ecclip.core import parse_night, settings, write_atomic

NO_NIGHT = "none"  # stands for the previous night of the first
EXPECTATIONS = "../expectations"  # relative to work/: a shop's own rules, kept by people beside params.yaml
_EXPECTATIONS_README = "Suites of Great Expectations that every night must keep, one `.json` file each: docs/gate.md.\n"
_NIGHT_FOLDER = "-".join("[0-9]" * digits for digits in (4, 2, 2))  # not a copy that was set aside


def known_nights() -> list[dict[str, str]]:
    """Return the nights of this workspace, oldest first: ``{"night": ..., "previous": ...}``."""
    path = settings().work / "nights.yaml"
    known = yaml.safe_load(path.read_text())["nights"] if path.is_file() else {}
    return [{"night": night, "previous": known[night]["previous"]} for night in sorted(known)]


def previous_of(night: str) -> str | None:
    """Return the night that ``night`` compares itself with and takes group ids from, or None for the first."""
    for entry in known_nights():
        if entry["night"] == night:
            return None if entry["previous"] == NO_NIGHT else entry["previous"]
    return None


def add_night(night: str) -> None:
    """Enter a night in nights.yaml with its predecessor; a night that is there keeps what it has."""
    parse_night(night)
    if any(entry["night"] == night for entry in known_nights()):
        prepare_workspace()
        return
    published = (other for other in published_nights() if other < night)
    enter_night(night, max(published, default=NO_NIGHT))


def enter_night(night: str, previous: str) -> None:
    """Enter a night with a predecessor that is known, such as that of another workspace."""
    prepare_workspace()
    entries = [*known_nights(), {"night": parse_night(night), "previous": previous}]
    # keyed by night: dvc.yaml names its stages after the keys (ingest@2026-11-01)
    table = {entry["night"]: {"previous": entry["previous"]} for entry in entries}
    write_atomic(settings().work / "nights.yaml", yaml.safe_dump({"nights": table}))


def published_nights() -> list[str]:
    """Return the nights that have a snapshot, oldest first; a refused one has none."""
    found = (settings().work / "snapshots").glob(f"{_NIGHT_FOLDER}/manifest.json")
    return sorted(path.parent.name for path in found)


def prepare_workspace() -> None:
    """Create what every night needs: the empty folders that stand for "no previous night", nights.yaml, and a place
    for the shop's own rules.
    """
    work = settings().work
    if not (rules := work_path(EXPECTATIONS, NO_NIGHT)).is_dir():
        write_atomic(rules / "README.md", _EXPECTATIONS_README)
    for empty in (work / "snapshots" / NO_NIGHT, work / "nights" / NO_NIGHT / "land", work / "answers" / NO_NIGHT):
        if not (empty / "EMPTY").is_file():
            write_atomic(empty / "EMPTY", "stands for the missing previous night\n")
    if not (settings().work / "nights.yaml").is_file():
        write_atomic(settings().work / "nights.yaml", yaml.safe_dump({"nights": {}}))


def work_path(template: str, night: str) -> Path:
    """Return the absolute path of a template such as ``snapshots/{night}`` for a night of this workspace."""
    path = settings().work / template.format(night=night, previous=previous_of(night) or NO_NIGHT)
    return Path(os.path.normpath(path))  # as DVC does: what lies beside work/ does so where work/ is a link, too
