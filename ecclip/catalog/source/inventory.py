"""What an export holds, by name and content: the input that decides whether a night is extracted again."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ecclip.catalog.dump.listing_files import PHOTO_SUFFIXES
from ecclip.catalog.mapping.map_dump import load_mapping
from ecclip.catalog.mapping.model import Mapping
from ecclip.catalog.source.location import SourceConfig, is_local, locate, open_source, why_not_ready
from ecclip.core import ConfigError, NotReadyError, canonical_json, settings, sha256_bytes, sha256_file, write_atomic

SCHEMA = "ecclip.inventory/1"
MARKERS = (
    "_SUCCESS",
    "manifest.json",
)  # markers of any dump; whether a night's own dump is finished is in its stage's manifest
# names that file systems give a content tag, best first
_TAGS = ("ETag", "etag", "md5Hash", "Content-MD5", "content_md5", "Digest", "checksum")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "created")


class Entry(NamedTuple):
    """One file of an export: its name below the export, its path, size in bytes (None: unknown), when or what it is."""

    name: str
    path: str
    size: int | None
    tag: str
    refused: str = ""


def take_inventory(cfg: SourceConfig, night: str, path: Path) -> None:
    """Write to ``path`` what the night's export holds: names, sizes, contents, and the digest of the mapping.

    Local files are identified by their content; remote ones by the file system's tag, or size and time.

    Raises:
        NotReadyError: the export is not there, or its marker is not.
        ConfigError: the source or the mapping is configured wrongly.
    """
    url = locate(cfg, night)
    require_ready(cfg, url, night)
    mapping = declared_mapping(cfg)
    system, _ = open_source(url)
    entries = [*photos_beside(url, mapping), *entries_of(cfg, url, mapping)]
    files = {
        entry.name: {"bytes": entry.size, "content": sha256_file(Path(entry.path)) if is_local(system) else entry.tag}
        for entry in entries
        if not entry.refused
    }
    found = {
        "schema": SCHEMA,
        "night": night,
        "mapping": sha256_bytes(canonical_json(mapping.model_dump(mode="json")).encode()) if mapping else None,
        "files": files,
        "refused": sorted({repr(entry.name): entry.refused for entry in entries if entry.refused}.items()),
    }
    write_atomic(path, canonical_json(found))


def require_ready(cfg: SourceConfig, url: str, night: str) -> None:
    """Raise NotReadyError unless the export is finished."""
    try:
        reason = why_not_ready(url, cfg.markers)
    except OSError as error:
        reason = f"it cannot be reached: {type(error).__name__}: {error}"
    if reason:
        raise NotReadyError(
            f"the export of night {night} is not ready: {reason}",
            value=url,
            next_step="run again when the export has ended; source in params.yaml says where it is expected and by "
            "which marker it is known to be finished",
        )


def declared_mapping(cfg: SourceConfig) -> Mapping | None:
    """Return the mapping that the source names: a file of the workspace, a path, or a shipped one."""
    if cfg.mapping is None:
        return None
    own = settings().workspace.resolve() / cfg.mapping
    return load_mapping(own if own.is_file() else Path(cfg.mapping))


def entries_of(cfg: SourceConfig, url: str, mapping: Mapping | None) -> Iterator[Entry]:
    """Yield the files of an export by name; of an export that is one file that one, and the tables joined to it.

    Markers are not included: they say when, not what.

    Raises:
        ConfigError: a dump by the contract is a file instead of a folder.
    """
    system, root = open_source(url)
    if system.isdir(root):
        found = _below(root) if is_local(system) else _remote(system, root)
        markers = {*MARKERS, *cfg.markers}
        yield from sorted((entry for entry in found if entry.name not in markers), key=lambda entry: entry.name)
        return
    if mapping is None:
        raise ConfigError("a dump is a folder", value=url, next_step="give source.mapping, or the folder of the dump")
    if not system.isfile(root):
        raise ConfigError("the export is neither a folder nor a file", value=url, next_step="edit source.where")
    folder = posixpath.dirname(root)
    joined = [path for join in mapping.join for name in join.files for path in system.glob(f"{folder}/{name}")]
    for path in dict.fromkeys([root, *sorted(joined)]):
        yield _entry(posixpath.basename(path), path, system.info(path))


def photos_beside(url: str, mapping: Mapping | None) -> Iterator[Entry]:
    """Yield the pictures, recognised by suffix, next to a single-file export, whose rows may name them. Photos on the
    web are not listed: their addresses identify them.
    """
    system, root = open_source(url)
    if mapping is None or not system.isfile(root) or _is_web(system):
        return
    if mapping.field("image") is None and mapping.field("image_uri") is None:
        return
    folder = posixpath.dirname(root)
    if is_local(system):
        yield from _below(folder, PHOTO_SUFFIXES)
    else:
        yield from (entry for entry in _remote(system, folder) if entry.name.lower().endswith(PHOTO_SUFFIXES))


def _is_web(system: Any) -> bool:
    return bool({"http", "https"} & {*([system.protocol] if isinstance(system.protocol, str) else system.protocol)})


def _below(root: str, suffixes: tuple[str, ...] = ("",)) -> Iterator[Entry]:
    """Yield the files of a local folder; anything but a regular file below it is refused and never opened."""
    inside = Path(root).resolve()
    seen = {inside, settings().work.resolve()}  # ecclip's own output is not part of an export
    for folder, names, files in os.walk(inside, followlinks=True):
        kept = []
        for name in sorted(names):
            target = (Path(folder) / name).resolve()
            if target.is_relative_to(inside) and target not in seen:
                seen.add(target)
                kept.append(name)
        names[:] = kept
        for name in files:
            if not name.lower().endswith(suffixes):
                continue
            path = Path(folder) / name
            yield _checked(path.relative_to(inside).as_posix(), path, inside)


def _checked(name: str, path: Path, inside: Path) -> Entry:
    if not _is_writable_name(name):
        return Entry(name, str(path), 0, "", "bad_name")
    try:
        target = path.resolve(strict=True)
        facts = target.stat()
    except (OSError, RuntimeError):  # a dangling or circular link
        return Entry(name, str(path), 0, "", "missing")
    if not target.is_relative_to(inside):
        return Entry(name, str(path), 0, "", "outside_dump")
    if not stat.S_ISREG(facts.st_mode):
        return Entry(name, str(path), 0, "", "not_a_file")
    if not os.access(target, os.R_OK):
        return Entry(name, str(path), 0, "", "unreadable")
    return Entry(name, str(target), facts.st_size, str(facts.st_mtime_ns))


def _remote(system: Any, root: str) -> Iterator[Entry]:
    for path, info in system.find(root, detail=True).items():
        name = str(path)[len(root) :].lstrip("/")
        if not name or not _is_writable_name(name) or ".." in name.split("/") or not str(path).startswith(root):
            yield Entry(name, str(path), 0, "", "bad_name")
            continue
        known = any(key in info for key in (*_TAGS, *_TIMES))
        yield _entry(name, str(path), info if known else system.info(path))


def _entry(name: str, path: str, info: dict[str, Any]) -> Entry:
    tag = next((f"{key} {info[key]}" for key in (*_TAGS, *_TIMES) if info.get(key)), "")
    return Entry(name, path, info.get("size"), f"{info.get('size')} {tag}")


def _is_writable_name(name: str) -> bool:
    """Return whether a manifest can hold the name: UTF-8 without control characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
