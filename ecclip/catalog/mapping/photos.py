"""Photos that a foreign export names by path: they are found next to the export and copied into the dump. Rows are
untrusted: they may name regular files below the source and nothing else. Web addresses are left to landing.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import fsspec

from ecclip.catalog.dump.listing_files import format_of, says_listings
from ecclip.catalog.mapping.model import Mapping

MARKER = "mapped.json"
# names of the dump's own files: a photo so named would be read as one of them
_RESERVED = ("_SUCCESS", "manifest.json", MARKER)
PHOTO_BYTES = 20_000_000  # as `land.max_image_bytes`
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_BLOCK = 1 << 20  # bytes per copy


class PhotoRefusedError(ValueError):
    """A photo cannot be read; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Photos:
    """The photos of one source: ``bring`` adds each listing's photo and returns the outcome."""

    def __init__(self, mapping: Mapping, filesystem: Any, root: str, dump: Path) -> None:
        self._image, self._uri = mapping.field("image"), mapping.field("image_uri")
        self._fs, self._root, self._dump = filesystem, root, dump
        protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
        self._local = "file" in protocols

    def bring(self, listing: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """Return the listing with its photo, and ``found``, ``address`` or why there is none; None: it names none.

        The bytes are taken where the mapping says ``image: {read: true}``; else the file is copied to the same path
        below the dump. A photo that cannot be read keeps its name, so that landing counts it too.
        """
        name = listing["image_uri"]
        if listing["image"] is not None:
            return listing, "found"
        if not name:
            return listing, None
        try:
            if self._image is not None and self._image.read:
                return {**listing, "image": self._bytes(name), "image_uri": None}, "found"
            if _SCHEME.match(name):
                return listing, "address"
            return {**listing, "image_uri": self._copied(name)}, "found"
        except PhotoRefusedError as refused:
            below = self._uri is not None and self._uri.below and refused.reason != "outside_source"
            return {**listing, "image_uri": name.lstrip("/") if below else name}, refused.reason

    def _bytes(self, name: str) -> bytes:
        assert self._image is not None
        if any(name.startswith(prefix) for prefix in self._image.read_from):
            try:
                with fsspec.open(name, "rb") as file:
                    return b"".join(_bounded(file))
            except (OSError, ValueError) as error:
                raise _refusal(error) from error
        with self._opened(name, self._image.below) as (file, _):
            return b"".join(_bounded(file))

    def _copied(self, name: str) -> str:
        """Copy a photo into the dump, once, and return where it lies there."""
        below = self._uri.below if self._uri is not None else []
        with self._opened(name, below) as (file, path):
            if path in _RESERVED or path.startswith(".") or _names_table(path):
                raise PhotoRefusedError("reserved_name")
            target = self._dump / path
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                # several threads may copy one photo: each writes its own file, the last rename wins
                temporary = target.with_name(f".{uuid.uuid4().hex}")
                try:
                    with temporary.open("wb") as copy:
                        for block in _bounded(file):
                            copy.write(block)
                    temporary.replace(target)
                finally:
                    temporary.unlink(missing_ok=True)
        return path

    @contextmanager
    def _opened(self, name: str, below: list[str]) -> Iterator[tuple[IO[bytes], str]]:
        """Open the photo that a row names; yield it with its path below the source."""
        refused = PhotoRefusedError("missing")
        for path in self._places(name, below):
            try:
                file = self._regular(path) if self._local else self._fs.open(f"{self._root}/{path}", "rb")
            except PhotoRefusedError as error:
                refused = error
            except (OSError, ValueError) as error:
                refused = _refusal(error)
            else:
                with file:
                    try:
                        yield file, path
                    except OSError as error:
                        raise _refusal(error) from error
                return
        raise refused

    def _places(self, name: str, below: list[str]) -> Iterator[str]:
        """Yield the paths below the source that a name may mean: as it is, then as Windows and the web write it."""
        slashed = name.replace("\\", "/")
        spellings = [
            text for text in dict.fromkeys([name, slashed, unquote(name), unquote(slashed)]) if _is_plain(text)
        ]
        if not spellings:
            raise PhotoRefusedError("bad_name")
        outside = True
        for folder in below or [""]:
            for spelling in spellings:
                relative = spelling.lstrip("/") if below else spelling
                path = posixpath.normpath(posixpath.join(folder, relative))
                if path.startswith(("/", "../")) or path in ("..", ".") or _SCHEME.match(path):
                    continue
                outside = False
                yield path
        if outside:
            raise PhotoRefusedError("outside_source")

    def _regular(self, path: str) -> IO[bytes]:
        """Open a regular file that lies below the source after all links; nothing else is ever opened for reading."""
        root = Path(os.path.realpath(self._root))
        real = Path(os.path.realpath(root / path, strict=True))
        if not real.is_relative_to(root):
            raise PhotoRefusedError("outside_source")
        if not stat.S_ISREG(real.stat().st_mode):
            raise PhotoRefusedError("not_a_file")
        # the file may have been swapped for a pipe since the check: open without blocking
        file = os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise PhotoRefusedError("not_a_file")
        return file


def _names_table(path: str) -> bool:
    """Return whether a photo of that path would be taken for a listing file of the dump, or for a folder of them."""
    if "/" not in path:
        return format_of(Path(path)) is not None or says_listings(path)
    first = path.split("/")[0]
    return says_listings(first) and (format_of(Path(first)) or format_of(Path(path))) is not None


def _is_plain(text: str) -> bool:
    """Return whether a manifest can hold the name: no control characters."""
    return not any(ord(sign) < 32 or ord(sign) == 127 for sign in text)


def _refusal(error: Exception) -> PhotoRefusedError:
    return PhotoRefusedError("missing" if isinstance(error, FileNotFoundError | NotADirectoryError) else "unreadable")


def _bounded(file: IO[bytes]) -> Iterator[bytes]:
    size = 0
    while block := file.read(_BLOCK):
        size += len(block)
        if size > PHOTO_BYTES:
            raise PhotoRefusedError("too_large")
        yield block
