"""Run risky work in a child process, so that a crash, a hang or a memory blow-up loses that one item only.

The child is forked, so that it has the items without a copy; it returns each result at once, so that the item that
killed it is known. A child serves many items: the price is one fork per batch and one pipe write per item.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

CRASHED, TIMEOUT = "decoder_crashed", "decoder_timeout"
_BLOCK = 1 << 20  # bytes per read; larger than the pipe
_PIPE_BYTES = 1 << 18  # what a child produces per pause; Linux limits the total pipe pages of a user (pipe(7))
_HEAD = 8  # bytes of a length before each result
_REST_S = 0.01  # waking for every result would take processor time from the child; by judgment
_PATIENCE = (
    20  # wall-clock allowance of a child that waits instead of computing, as a multiple of its CPU limit; by judgment
)


class Limits(NamedTuple):
    """What one item may cost: CPU seconds, and bytes of address space on top of what the process has."""

    seconds: float
    memory_bytes: int


def run_each(count: int, work: Callable[[int], Any], limits: Limits) -> Iterator[Any]:
    """Yield ``work(0) ... work(count - 1)``; for an item that its process did not survive, ``Died`` with the reason."""
    done = 0
    while done < count:
        status: list[int] = []
        for result in _from_child(range(done, count), work, limits, status):
            yield result
            done += 1
        if done < count:
            yield Died(TIMEOUT if os.WIFSIGNALED(status[0]) and os.WTERMSIG(status[0]) == signal.SIGPROF else CRASHED)
            done += 1


class Died(NamedTuple):
    """Placeholder result of an item that killed its process."""

    reason: str


def _from_child(items: range, work: Callable[[int], Any], limits: Limits, status: list[int]) -> Iterator[Any]:
    reader, writer = os.pipe()
    with suppress(PermissionError):  # the kernel refuses where the user has many pipes: slower, not wrong
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    child = os.fork()
    if child == 0:
        _serve(items, work, limits, reader, writer)
    os.close(writer)
    try:
        for frame in _frames(reader, limits.seconds * _PATIENCE):
            yield pickle.loads(frame)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGPROF)  # has no effect on one that exits by itself
        status.append(os.waitpid(child, 0)[1])


def _serve(items: range, work: Callable[[int], Any], limits: Limits, reader: int, writer: int) -> None:
    """Run in the child; never returns."""
    code = 1
    try:
        os.close(reader)
        _restrict(limits)
        for item in items:
            signal.setitimer(signal.ITIMER_PROF, limits.seconds)
            frame = pickle.dumps(work(item), pickle.HIGHEST_PROTOCOL)
            _write(writer, len(frame).to_bytes(_HEAD, "little") + frame)
        code = 0
    except BrokenPipeError:
        pass  # the reader is gone
    except BaseException:  # noqa: BLE001 - the parent goes on without this item; why stands in the worker's log
        traceback.print_exc()
    finally:
        os._exit(code)


def _restrict(limits: Limits) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    space = psutil.Process().memory_info().vms + limits.memory_bytes
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (space if most == resource.RLIM_INFINITY else min(space, most), most))


def _write(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]


def _frames(pipe: int, patience_s: float) -> Iterator[bytes]:
    """Yield what the child hands back until it ends, or hands nothing back for so long."""
    waiting = bytearray()
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while poll.poll(patience_s * 1000):
        block = os.read(pipe, _BLOCK)
        if not block:
            return
        waiting += block
        while len(waiting) >= _HEAD:
            end = _HEAD + int.from_bytes(waiting[:_HEAD], "little")
            if len(waiting) < end:
                break
            yield bytes(waiting[_HEAD:end])
            del waiting[:end]
        time.sleep(_REST_S)
