"""Run what may hang in daemon threads that are never joined: what hangs delays only those who wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_Value = TypeVar("_Value")


async def in_daemon_thread(work: Callable[[], _Value], ended: Callable[[], object] | None = None) -> _Value:
    """Return or raise what ``work`` does in a thread of its own, which ends with the process if it never returns.

    Threads of an executor are joined when the process ends, however long they hang. ``ended`` is called in the event
    loop when ``work`` is done, even if nobody waits for it any more.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[_Value] = loop.create_future()

    def set_outcome(result: Any, error: Exception | None) -> None:
        if ended is not None:
            ended()
        if found.cancelled():
            return
        if error is None:
            found.set_result(result)
        else:
            found.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as failure:  # noqa: BLE001, it is raised where it is waited for
            error = failure
        if not loop.is_closed():
            loop.call_soon_threadsafe(set_outcome, result, error)

    threading.Thread(target=run, daemon=True, name="ecclip-waiting").start()
    return await found
