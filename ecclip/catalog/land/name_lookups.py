"""Resolve host names in daemon threads that are never joined: a hanging resolver delays only its own photos."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any, cast

from aiohttp import ThreadedResolver

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
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Any] = loop.create_future()
        await self._free.acquire()

        def set_outcome(result: Any, error: BaseException | None) -> None:
            self._free.release()  # only now: a hanging thread still counts
            if found.cancelled():
                return
            if error is None:
                found.set_result(result)
            else:
                found.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = lookup()
            except OSError as failure:
                error = failure
            except UnicodeError as failure:  # not a valid name
                error = socket.gaierror(socket.EAI_NONAME, str(failure))
            if not loop.is_closed():
                loop.call_soon_threadsafe(set_outcome, result, error)

        threading.Thread(target=work, daemon=True, name="ecclip-lookup").start()
        return await found
