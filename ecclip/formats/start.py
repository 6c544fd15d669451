"""The weights that a night builds on: what the stages ``start`` and ``reference`` write, towers included."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ecclip.atomic import link_or_copy
from ecclip.errors import IntegrityError
from ecclip.formats.bundle import TOWERS
from ecclip.formats.documents import read_document, read_field, write_document

SCHEMA = "ecclip.start/1"
_FILE = "start.json"
_CHAMPION, _PRETRAINED = "champion", "pretrained"


@dataclass(frozen=True)
class Start:
    """A champion's version, bundle digest and the folder of its towers, or nothing: the pretrained towers."""

    version: str = ""
    bundle: str = ""
    towers: Path | None = None

    @property
    def kind(self) -> str:
        """``champion`` or ``pretrained``."""
        return _PRETRAINED if self.towers is None else _CHAMPION


def write_start(start: Start, folder: Path) -> None:
    """Write ``start.json`` and the champion's towers, so that the folder is complete in itself.

    A bundle is never changed, so the files are hard links where the file system has them: towers are the largest
    part of a night that starts from a champion.
    """
    content = {"kind": start.kind}
    if start.towers is not None:
        content |= {"bundle": start.bundle, "version": start.version}
        shutil.copytree(start.towers, folder / TOWERS, copy_function=link_or_copy)
    write_document(folder / _FILE, SCHEMA, content)


def read_start(folder: Path) -> Start:
    """Return what a night starts from.

    Raises:
        ContractError: the schema is unknown.
        IntegrityError: the record is missing, or the towers that it names are.
    """
    path, next_step = folder / _FILE, "run the stage that writes it"
    described = read_document(path, SCHEMA, next_step)
    if described.get("kind") == _PRETRAINED:
        return Start()
    towers = folder / TOWERS
    if described.get("kind") != _CHAMPION or not towers.is_dir():
        raise IntegrityError("the towers to start from are missing", value=towers, next_step="run its stage again")
    version, bundle = (read_field(described, name, str, path, next_step) for name in ("version", "bundle"))
    return Start(version=version, bundle=bundle, towers=towers)
