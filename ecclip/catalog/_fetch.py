"""Fetch photos by their address: many at once, in the order that was asked, from nowhere that is not allowed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import fsspec

from ecclip.catalog._fetched import FetchConfig, Fetched, Known
from ecclip.catalog._http import HttpPhotos

_AHEAD = 2  # photos asked for ahead of the one that is waited for, for each that may be fetched at once


async def fetch_photos(
    cfg: FetchConfig, dump: Path, wanted: Iterable[tuple[str, Known | None]]
) -> AsyncIterator[Fetched]:
    """Yield the photo of each address in the order of ``wanted``; never raises for a photo, it says the reason.

    At most ``2 * (connections + threads)`` photos of at most ``max_image_bytes`` are in memory. A path is read below
    ``dump`` only.
    """
    root, ahead = dump.resolve(), _AHEAD * (cfg.connections + cfg.threads)
    waiting: deque[asyncio.Task[Fetched]] = deque()
    with ThreadPoolExecutor(cfg.threads) as pool:
        async with HttpPhotos(cfg) as http:
            try:
                for uri, known in wanted:
                    waiting.append(asyncio.create_task(_fetch(cfg, root, pool, http, uri, known)))
                    if len(waiting) >= ahead:
                        yield await waiting.popleft()
                while waiting:
                    yield await waiting.popleft()
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)


async def _fetch(
    cfg: FetchConfig, root: Path, pool: ThreadPoolExecutor, http: HttpPhotos, uri: str, known: Known | None
) -> Fetched:
    scheme = _scheme(uri)
    if scheme is None:
        return Fetched.refused(uri, "outside_dump")
    if scheme and scheme not in cfg.allowed_schemes:
        return Fetched.refused(uri, "outside_dump")
    if scheme in ("http", "https"):
        return await http.fetch(uri, known)
    loop = asyncio.get_running_loop()
    if scheme:
        return await loop.run_in_executor(pool, _read_remote, cfg, uri, known)
    return await loop.run_in_executor(pool, _read_inside, cfg, root, uri, known)


def _scheme(uri: str) -> str | None:
    try:
        return None if "\0" in uri else urlsplit(uri).scheme
    except ValueError:  # a bracket that is no IPv6 address
        return None


def _read_inside(cfg: FetchConfig, root: Path, uri: str, known: Known | None) -> Fetched:
    """Read a file of the dump: its content tells whether it has changed, since a shop may write every file anew."""
    try:
        path = (root / uri).resolve()
        if not path.is_relative_to(root):  # no way up, no link out
            return Fetched.refused(uri, "outside_dump")
        with path.open("rb") as file:
            image = file.read(cfg.max_image_bytes + 1)
    except (OSError, ValueError):
        return Fetched.refused(uri, "missing")
    if len(image) > cfg.max_image_bytes:
        return Fetched.refused(uri, "too_large")
    return Fetched.read(uri, image, None, known)


def _read_remote(cfg: FetchConfig, uri: str, known: Known | None) -> Fetched:
    """Read through fsspec what its file system's key (size and time, or an entity tag) says has changed."""
    try:
        system, path = fsspec.url_to_fs(uri)
        validator = f"key {system.ukey(path)}"
        if known is not None and known.validator == validator:
            return Fetched.same(uri, known)
        with system.open(path, "rb") as file:
            image = file.read(cfg.max_image_bytes + 1)
    except FileNotFoundError:
        return Fetched.refused(uri, "missing")
    except (OSError, ValueError, ImportError):  # of a scheme that has no package here, too
        return Fetched.refused(uri, "fetch_failed")
    if len(image) > cfg.max_image_bytes:
        return Fetched.refused(uri, "too_large")
    return Fetched.read(uri, image, validator, known)
