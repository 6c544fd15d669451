"""Manifests: the content of a published folder, verified by digests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ecclip.atomic import MANIFEST, canonical_json, files_below, sha256_bytes, sha256_file
from ecclip.errors import IntegrityError

SCHEMA = "ecclip.manifest/1"
_FAMILY = "ecclip.manifest/"


class FileEntry(BaseModel):
    """Size in bytes and sha256 of one file of a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What a published folder holds and what it was made from; its own sha256 is the folder's digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_name: str = SCHEMA
    stage: str
    key: str
    config: dict[str, Any]
    inputs: dict[str, str]
    read: dict[str, int]
    written: dict[str, int]
    dropped: dict[str, int]
    detail: dict[str, Any]
    files: dict[str, FileEntry]


def list_files(folder: Path) -> dict[str, FileEntry]:
    """Return size and sha256 of every file below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): FileEntry(bytes=path.stat().st_size, sha256=sha256_file(path))
        for path in files_below(folder)
    }


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a folder, or None: a folder without one is not published."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise IntegrityError(
            "the manifest cannot be read", value=path, next_step="remove the folder and run its stage again"
        ) from error


def verify_folder(folder: Path, part: str = "") -> Manifest:
    """Return the manifest after comparing every file with it, or those of one part (a folder in it).

    Raises:
        IntegrityError: a file is missing or differs; the message names it.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise IntegrityError("the folder has no manifest", value=folder, next_step="run the stage that writes it")
    for name, entry in manifest.files.items():
        path = folder / name
        if part and not name.startswith(f"{part}/"):
            continue
        if not path.is_file():
            raise IntegrityError("a file of the manifest is missing", value=path, next_step="run its stage again")
        if path.stat().st_size != entry.bytes or sha256_file(path) != entry.sha256:
            raise IntegrityError(
                "a file is not what its manifest says",
                value=path,
                limit=entry.sha256,
                next_step="make the folder again: run its stage, or restore it from a backup",
            )
    return manifest


def digest_of(path: Path) -> str:
    """Return the digest of a file, of a published folder (its manifest's) or of a plain folder (its tree's).

    A foreign ``manifest.json`` proves nothing and counts as an ordinary file.

    Raises:
        IntegrityError: there is nothing at ``path``.
    """
    if path.is_file():
        return sha256_file(path)
    if _is_published(path):
        return sha256_file(path / MANIFEST)
    if path.is_dir():
        tree: dict[str, Any] = {name: entry.model_dump() for name, entry in list_files(path).items()}
        if (path / MANIFEST).is_file():
            tree[MANIFEST] = sha256_file(path / MANIFEST)
        return sha256_bytes(canonical_json(tree).encode())
    raise IntegrityError("an input is missing", value=path, next_step="run the stage that writes it")


def has_digest(folder: Path, digest: str) -> bool:
    """Return whether a folder was published with this digest; its files are not compared (:func:`verify_folder`)."""
    return _is_published(folder) and sha256_file(folder / MANIFEST) == digest


def _is_published(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and str(manifest.get("schema_name", "")).startswith(_FAMILY)
