"""The nights of a workspace: which there are, which one each is compared with, and where their folders lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ecclip.core import ConfigError, IntegrityError, digest_of, parse_night, read_manifest, settings, write_atomic
from ecclip.core.edited import read_edited

NO_NIGHT = "none"  # stands for the previous night of the first
EXPECTATIONS = "../expectations"  # relative to work/: a shop's own rules, kept by people beside params.yaml
CORRECTIONS = "../corrections"  # likewise: labels as people have corrected them
TAXONOMIES = "../taxonomy"  # likewise: the categories that the dump's are mapped onto
POLICIES = "../policies"  # likewise: the classes of age restriction, and attributes with given options
_POLICIES_README = (
    "Policies, `.yaml` files that params.yaml names: of age restriction (`embed.age_policy`), "
    "docs/how-to/age-restriction.md; of attributes with given options (`embed.attribute_options`), "
    "docs/attributes.md.\n"
)
_CORRECTIONS_README = (
    "Labels as people have corrected them, in `corrections.jsonl`, which `ecclip review` appends to: "
    "docs/how-to/review.md.\n"
)
_TAXONOMIES_README = (
    "Taxonomies of categories, `.yaml` files, one of which `publish.taxonomy` names: "
    "docs/how-to/bring-your-taxonomy.md.\n"
)
_EXPECTATIONS_README = "Suites of Great Expectations that every night must keep, one `.json` file each: docs/gate.md.\n"
_NIGHT_FOLDER = "-".join("[0-9]" * digits for digits in (4, 2, 2))  # not a copy that was set aside


def known_nights() -> list[dict[str, str]]:
    """Return the nights of this workspace, oldest first: ``{"night": ..., "previous": ...}``.

    Raises:
        ConfigError: nights.yaml cannot be read; names file and line, and the commands that make it anew.
    """
    path = settings().work / "nights.yaml"
    if not path.is_file():
        return []
    known: Any = read_edited(path, _made_anew(path)).get("nights")
    try:
        table = {parse_night(str(night)): _checked_previous(entry["previous"]) for night, entry in known.items()}
    except (AttributeError, KeyError, TypeError, ConfigError) as error:
        raise ConfigError(
            "nights.yaml cannot be used: it does not give each night its previous one",
            value=f"{path}: {error}",
            limit="nights: {'2026-11-01': {previous: none}}",
            next_step=_made_anew(path),
        ) from error
    return [{"night": night, "previous": table[night]} for night in sorted(table)]


def _checked_previous(previous: str) -> str:
    return previous if previous == NO_NIGHT else parse_night(str(previous))


def previous_of(night: str) -> str | None:
    """Return the night that ``night`` compares itself with and takes group ids from, or None for the first."""
    for entry in known_nights():
        if entry["night"] == night:
            return None if entry["previous"] == NO_NIGHT else entry["previous"]
    return None


def add_night(night: str) -> None:
    """Enter a night in nights.yaml with its predecessor; a night that is there keeps what it has.

    One that was entered before, and was lost with the file, gets the predecessor that its snapshot names.
    """
    parse_night(night)
    if any(entry["night"] == night for entry in known_nights()):
        prepare_workspace()
        return
    published = (other for other in published_nights() if other < night)
    enter_night(night, _recorded_previous(night) or max(published, default=NO_NIGHT))


def enter_night(night: str, previous: str) -> None:
    """Enter a night with a predecessor that is known, such as that of another workspace."""
    prepare_workspace()
    entries = [*known_nights(), {"night": parse_night(night), "previous": previous}]
    # keyed by night: dvc.yaml names its stages after the keys (ingest@2026-11-01)
    table = {entry["night"]: {"previous": entry["previous"]} for entry in entries}
    write_atomic(settings().work / "nights.yaml", yaml.safe_dump({"nights": table}))


def _recorded_previous(night: str) -> str | None:
    """Return the predecessor of a night that has run, by the digest that a manifest has of it, or None."""
    there = [NO_NIGHT, *_nights_there()]
    for template in ("snapshots/{night}", "nights/{night}/land"):
        manifest = read_manifest(work_path(template, night))
        wanted = manifest.inputs.get("previous") if manifest else None
        for other in there if wanted else ():
            folder = work_path(template, other)
            if folder.is_dir() and digest_of(folder) == wanted:
                return other
    return None


def _made_anew(path: Path) -> str:
    """Return the commands that make nights.yaml anew from the nights that are there."""
    nights = _nights_there()
    return f"rm {path}" + (f" && ecclip nights add {' '.join(nights)}" if nights else "; the next night makes it anew")


def _nights_there() -> list[str]:
    landed = (settings().work / "nights").glob(f"{_NIGHT_FOLDER}/land/manifest.json")
    return sorted({*published_nights(), *(path.parents[1].name for path in landed)})


def published_nights() -> list[str]:
    """Return the nights that have a snapshot, oldest first; a refused one has none."""
    found = (settings().work / "snapshots").glob(f"{_NIGHT_FOLDER}/manifest.json")
    return sorted(path.parent.name for path in found)


def prepare_workspace() -> None:
    """Create what every night needs: the empty folders that stand for "no previous night", nights.yaml, and places
    for the shop's own rules and policies and for what people correct.
    """
    work = settings().work
    kept = {
        EXPECTATIONS: _EXPECTATIONS_README,
        CORRECTIONS: _CORRECTIONS_README,
        TAXONOMIES: _TAXONOMIES_README,
        POLICIES: _POLICIES_README,
    }
    for place, text in kept.items():
        if not (folder := work_path(place, NO_NIGHT)).is_dir():
            write_atomic(folder / "README.md", text)
    none = work / "nights" / NO_NIGHT
    for empty in (work / "snapshots" / NO_NIGHT, none / "land", none / "products", work / "answers" / NO_NIGHT):
        stand_in(empty)
    if not (settings().work / "nights.yaml").is_file():
        write_atomic(settings().work / "nights.yaml", yaml.safe_dump({"nights": {}}))


def stand_in(folder: Path) -> None:
    """Let an empty folder stand for what a previous night lacks, unless there is something."""
    if not folder.is_dir():
        write_atomic(folder / "EMPTY", "stands for the missing previous night\n")


def work_path(template: str, night: str) -> Path:
    """Return the absolute path of a template such as ``snapshots/{night}`` for a night of this workspace.

    Raises:
        IntegrityError: the template names the previous night, and nights.yaml has lost the night: taken for a first
            one it would be compared with nothing.
    """
    previous = _known_previous(night) if "{previous}" in template else NO_NIGHT
    path = settings().work / template.format(night=night, previous=previous)
    return Path(os.path.normpath(path))  # as DVC does: what lies beside work/ does so where work/ is a link, too


def _known_previous(night: str) -> str:
    known = {entry["night"]: entry["previous"] for entry in known_nights()}
    if night not in known and night in _nights_there():
        raise IntegrityError(
            "nights.yaml does not have a night that has run",
            value=night,
            limit=", ".join(known) or "no night",
            next_step=f"ecclip nights add {night}",
        )
    return known.get(night, NO_NIGHT)
