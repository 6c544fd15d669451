"""Fetch photos from other hosts, many hosts concurrently, each within its time budget."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import fsspec

from ecclip.catalog.land.daemon_threads import in_daemon_thread
from ecclip.catalog.land.fetched import FetchConfig, Fetched, PreviousPhoto
from ecclip.catalog.land.host_budgets import OUT_OF_TIME, HostBudgets
from ecclip.catalog.land.http import HttpPhotos
from ecclip.catalog.land.photo_queue import PhotoQueue
from ecclip.catalog.land.uris import HTTP, scheme_of


async def fetch_photos(cfg: FetchConfig, photos: PhotoQueue) -> None:
    """Store in ``photos`` the result for each remote photo: its bytes, that it is unchanged, or a reason.

    ``cfg.connections`` photos are in memory at once. Hosts do not share a queue, so a slow host delays only its own
    photos.
    """
    hosts = HostBudgets(cfg)
    async with HttpPhotos(cfg, hosts) as http, asyncio.TaskGroup() as tasks:
        remote = _RemotePhotos(cfg, hosts, http)
        for host, count in photos.hosts().items():
            waiting = photos.pending(host)
            for _ in range(min(count, cfg.host_connections)):
                tasks.create_task(_fetch_host(remote, photos, host, waiting))


async def _fetch_host(
    remote: _RemotePhotos, photos: PhotoQueue, host: str, waiting: Iterator[tuple[str, PreviousPhoto | None]]
) -> None:
    for address, known in waiting:
        full = photos.is_full()
        photos.store(Fetched.refused(address, "spool_full") if full else await remote.fetch(host, address, known))


class _RemotePhotos:
    """Fetches a photo by the scheme of its address; a read that hangs is left behind when its host's time is over."""

    def __init__(self, cfg: FetchConfig, hosts: HostBudgets, http: HttpPhotos) -> None:
        self._cfg, self._hosts, self._http = cfg, hosts, http
        self._reading = asyncio.Semaphore(cfg.threads)

    async def fetch(self, host: str, address: str, known: PreviousPhoto | None) -> Fetched:
        if scheme_of(address) in HTTP:
            return await self._http.fetch(host, address, known)
        async with self._reading:
            refusal = self._hosts.refusal(host)
            if refusal is not None:
                return Fetched.refused(address, refusal)
            try:
                async with asyncio.timeout(self._hosts.remaining_s(host)):
                    return await in_daemon_thread(partial(_read_remote, self._cfg, address, known))
            except TimeoutError:
                return Fetched.refused(address, self._hosts.refusal(host) or OUT_OF_TIME)


def _read_remote(cfg: FetchConfig, uri: str, known: PreviousPhoto | None) -> Fetched:
    """Read a photo through fsspec if its file system's key (size and time, or an entity tag) has changed."""
    try:
        system, path = fsspec.url_to_fs(uri)
        validator = f"key {system.ukey(path)}"
        if known is not None and known.validator == validator:
            return Fetched.same(uri, known)
        with system.open(path, "rb") as file:
            image = file.read(cfg.max_image_bytes + 1)
    except FileNotFoundError:
        return Fetched.refused(uri, "missing")
    except (OSError, ValueError, ImportError):  # also for a scheme whose package is not installed
        return Fetched.refused(uri, "fetch_failed")
    if len(image) > cfg.max_image_bytes:
        return Fetched.refused(uri, "too_large")
    return Fetched.read(uri, image, validator)
