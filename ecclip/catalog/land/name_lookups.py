"""Resolve host names in daemon threads that are never joined: a hanging resolver delays only its own photos."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from aiohttp import ThreadedResolver

from ecclip.catalog.land.daemon_threads import in_daemon_thread

_MAX_THREADS = 64  # a hanging resolver may hold this many before lookups queue; by judgment


def patient_resolver() -> ThreadedResolver:
    """Return aiohttp's resolver; an abandoned lookup is left to its thread, which ends with the process."""
    return ThreadedResolver(loop=cast(asyncio.AbstractEventLoop, _Lookups()))


class _Lookups:
    """The two functions of an event loop that aiohttp's resolver calls.

    Those of the loop itself run in threads that are joined when the loop ends.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_MAX_THREADS)

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        return await self._run(lambda: socket.getaddrinfo(*args, **kwargs))

    async def getnameinfo(self, *args: Any) -> Any:
        return await self._run(lambda: socket.getnameinfo(*args))

    async def _run(self, lookup: Callable[[], Any]) -> Any:
        await self._free.acquire()
        try:
            return await in_daemon_thread(lookup, self._free.release)  # only when it ends: a hanging thread counts
        except UnicodeError as failure:  # not a valid name
            raise socket.gaierror(socket.EAI_NONAME, str(failure)) from failure
