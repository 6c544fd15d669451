"""The nights of a shop's own dump: found at their location, and declared as the source of a separate workspace."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from string import Formatter
from typing import Any

import fsspec
import yaml
from rich.console import Console

from ecclip.core import ConfigError, night_of, now, parse_night, settings, write_atomic
from ecclip.core.edited import read_edited
from ecclip.local.nights import enter_workspace

_MARKERS = ("_SUCCESS", "manifest.json")
_SECTION = re.compile(r"^source:.*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What is known of a shop's dump: where it lies (no pattern: it is one night), its nights, and by which mapping.

    ``home`` is the workspace below which the shop's own one lies.
    """

    source: str
    where: str | None
    nights: list[str]
    mapping: str | None
    home: Path

    def path_from(self, folder: Path, path: str) -> str:
        """Return a path as a file in ``folder`` says it: relative if it lies in the home, which may move as a whole."""
        inside = "://" not in path and Path(path).is_relative_to(self.home)
        return os.path.relpath(path, folder.resolve()) if inside else path


def enter_shop(dump: str, mapping: str | None) -> Shop:
    """Find the nights of ``dump`` and go on in the shop's workspace below work/shops/, made where there is none.

    Another shop's nights are no baseline: in one workspace the drift check and the gate would compare the two.

    Args:
        dump: A folder with one folder per night, named by its ISO date; any path or URL with ``{night}`` in it; or the
            folder or file of one night, tonight's.
        mapping: mapping.yaml or the name of a shipped one; None: the dump keeps the contract.

    Raises:
        ConfigError: nothing lies there.
    """
    source = dump if "://" in dump else str(Path(dump).resolve())
    declared = str(Path(mapping).resolve()) if mapping and Path(mapping).is_file() else mapping
    where, found = _nights_at(source)
    home = settings().workspace.resolve()
    enter_workspace(_name(declared or source))
    return Shop(source=source, where=where, nights=found, mapping=declared, home=home)


def declare_nights(console: Console, shop: Shop, nights: int) -> list[str]:
    """Make a dump the source of the shop's workspace and return its nights, the newest ``nights`` at most.

    ``console`` gets messages about what was found.
    """
    workspace, found = settings().workspace, shop.nights
    mapping = shop.mapping and shop.path_from(workspace, shop.mapping)
    if shop.where is None:
        where, found = "work/dumps/{night}", [_link_tonight(shop)]
    else:
        where = shop.path_from(workspace, shop.where)
    chosen = found[-nights:]
    markers = list(_MARKERS) if all(_is_marked(where, night) for night in chosen) else []
    declare_source({"where": where, "mapping": mapping, "markers": markers})
    console.print(f"{where}: {len(found)} nights, {', '.join(chosen)} are run", soft_wrap=True)
    if not markers:
        console.print(f"no night has {' or '.join(_MARKERS)}: what is there is taken as finished", soft_wrap=True)
    console.print(f"workspace {settings().workspace}: its params.yaml says so (source)", soft_wrap=True)
    return chosen


def declare_source(source: dict[str, Any]) -> None:
    """Write what is given into the section ``source`` of the workspace's params.yaml; the rest stays as it is.

    A workspace that shares the file of another one gets a copy of it first.
    """
    path = settings().workspace / "params.yaml"
    text = path.read_text() if path.is_file() else ""
    before = (read_edited(path, f"edit {path}") if text else {}).get("source") or {}
    section = yaml.safe_dump({"source": before | source}, sort_keys=False, allow_unicode=True)
    said = _SECTION.sub(lambda _: section, text, count=1) if _SECTION.search(text) else text + section
    write_atomic(path, said)


def _nights_at(source: str) -> tuple[str | None, list[str]]:
    """Return the pattern of the nights at ``source`` and their dates; no pattern: it is one night itself."""
    if "{night" in source:
        found = _matching(source)
        if not found:
            raise ConfigError("no night lies there", value=source, next_step="{night} stands for an ISO date")
        return source, found
    folders = _matching(f"{source.rstrip('/')}/{{night}}")
    if folders:
        return f"{source.rstrip('/')}/{{night}}", folders
    if "://" in source:
        raise ConfigError("a URL needs {night} in it", value=source, next_step="put {night} where the date stands")
    if not Path(source).exists():
        raise ConfigError("there is no such dump", value=source, next_step="give DUMP a folder or a file")
    return None, []


def _matching(where: str) -> list[str]:
    """Return the dates for which something lies at the pattern, sorted."""
    parts = list(Formatter().parse(where))
    pattern = "".join(glob.escape(text) + ("*" if name else "") for text, name, _, _ in parts)
    shape = re.compile("".join(re.escape(text) + ("(.+?)" if name else "") for text, name, _, _ in parts))
    forms = [spec or "%Y-%m-%d" for _, name, spec, _ in parts if name]
    system, root = fsspec.core.url_to_fs(pattern)
    nights = set()
    for path in system.glob(root):
        for spelled in (path, system.unstrip_protocol(path)):
            if fits := shape.fullmatch(spelled):
                read = (_night(text, form) for text, form in _readings(fits.groups(), forms))
                # the date must reproduce the path exactly: a part of a date, or one of several, does not
                nights |= {
                    night for night in read if night and where.format(night=date.fromisoformat(night)) == spelled
                }
    return sorted(nights)


def _readings(texts: Sequence[str], forms: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what may be a date: each of the places where the night stands, and all together (``{night:%Y}/...``)."""
    yield from zip(texts, forms, strict=True)
    yield " ".join(texts), " ".join(forms)


def _night(text: str, form: str) -> str | None:
    try:
        return parse_night(datetime.strptime(text, form).date().isoformat())
    except (ValueError, re.error):  # re.error: a form in which the year stands twice
        return None


def _is_marked(where: str, night: str) -> bool:
    url = where.format(night=date.fromisoformat(night))
    system, root = fsspec.core.url_to_fs(url if "://" in url else str(settings().workspace / url))
    return any(system.exists(f"{root.rstrip('/')}/{name}") for name in _MARKERS)


def _link_tonight(shop: Shop) -> str:
    """Link the dump as tonight's export, in place of an earlier link of tonight."""
    night = night_of(now())
    link = settings().work / "dumps" / night
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.exists() and not link.is_symlink():
        raise ConfigError("tonight has a dump already", value=link, next_step="remove it, or name nights by {night}")
    link.unlink(missing_ok=True)
    link.symlink_to(shop.path_from(link.parent, shop.source))
    return night


def _name(of: str) -> str:
    """Return the name of a shop's workspace: that of its mapping, else of its dump, without the night."""
    parts = [part for part in Path(of).parts if "{" not in part]
    stem = Path(parts[-1]).stem if parts else "shop"
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem) or "shop"
