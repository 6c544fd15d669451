"""A child process under ptrace: what it does to files, call by call, and its death before any one of these calls."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TRACEME, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x100000  # mark calls; follow fork, vfork, clone; die with the tracer
_WALL = 0x40000000
_ENTRY, _EXIT = 1, 2
_CREATES = os.O_CREAT | os.O_TRUNC

# the calls that change files or flush them, by number
_CALLS = {
    "x86_64": {
        1: "write", 2: "open", 74: "fsync", 75: "fdatasync", 76: "truncate", 77: "ftruncate", 82: "rename",
        83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 88: "symlink", 257: "openat", 258: "mkdirat",
        263: "unlinkat", 264: "renameat", 265: "linkat", 266: "symlinkat", 316: "renameat2",
    },
    "aarch64": {
        34: "mkdirat", 35: "unlinkat", 36: "symlinkat", 37: "linkat", 38: "renameat", 45: "truncate", 46: "ftruncate",
        56: "openat", 64: "write", 82: "fsync", 83: "fdatasync", 276: "renameat2",
    },
}  # fmt: skip
NAMES = _CALLS.get(platform.machine(), {})
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@dataclass(frozen=True)
class Call:
    """One system call that changes or flushes files: its name, and its paths (one, or two of a rename)."""

    name: str
    paths: tuple[str, ...]


def can_trace() -> bool:
    """Return whether this machine allows to trace a child."""
    return bool(NAMES) and run_traced(lambda: None)[1] == 0


def run_traced(work: Callable[[], None], kill_at: int | None = None) -> tuple[list[Call], int]:
    """Run ``work`` in a fork; return its calls that succeeded, in order, and its exit status (negative: a signal).

    With ``kill_at`` it gets SIGKILL where its call of that number (from 1 on) would begin. The calls that are left
    out change nothing on disk, so these are all the states in which a kill can leave it.
    """
    pid = os.fork()
    if pid == 0:
        _child(work)
    calls: list[Call] = []
    began: dict[int, Call] = {}
    stopped, status = os.waitpid(pid, 0)
    if _libc.ptrace(_SETOPTIONS, pid, None, _OPTIONS) != 0:
        return calls, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = 0
    while not (stopped == pid and not os.WIFSTOPPED(status)):
        if os.WIFSTOPPED(status):
            operation, details = _syscall(stopped)
            if operation == _ENTRY and (call := _call(pid, details)) is not None:
                began[stopped] = call
                seen += 1
                if seen == kill_at:
                    os.kill(pid, signal.SIGKILL)
            elif operation == _EXIT and (call := began.pop(stopped, None)) is not None and details[0] < 1 << 63:
                calls.append(call)
            _libc.ptrace(_SYSCALL, stopped, None, _to_deliver(status))
        stopped, status = os.waitpid(-1, _WALL)
    return calls, os.waitstatus_to_exitcode(status)


def forbid(*names: str) -> None:
    """Let the kernel answer ENOSYS to these calls of this process from now on, as a kernel without them does."""
    numbers = {name: number for number, name in NAMES.items()}
    code = [(0x20, 0, 0, 0)]  # load the number of the call
    for name in names:
        code += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, 0x00050000 | 38)]
    code.append((0x06, 0, 0, 0x7FFF0000))
    program = b"".join(struct.pack("HBBI", *line) for line in code)
    kept = ctypes.create_string_buffer(program, len(program))
    filters = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(kept)))
    assert _libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert _libc.prctl(22, 2, filters, 0, 0) == 0  # PR_SET_SECCOMP


def _child(work: Callable[[], None]) -> None:
    code = 1
    try:
        if _libc.ptrace(_TRACEME, 0, None, None) == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
        work()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def _syscall(thread: int) -> tuple[int, tuple[int, ...]]:
    """Return at which point of a call a thread stopped, and number and arguments, or the result."""
    info = ctypes.create_string_buffer(128)
    if _libc.ptrace(_GET_SYSCALL_INFO, thread, len(info), info) <= 0:
        return 0, ()
    return info.raw[0], struct.unpack_from("<7Q", info.raw, 24)


def _call(pid: int, details: tuple[int, ...]) -> Call | None:
    number, *arguments = details
    name = NAMES.get(number)
    flags = {"open": 1, "openat": 2}.get(name or "")
    if name is None or (flags is not None and not arguments[flags] & _CREATES):
        return None
    paths = tuple(_paths(pid, name, arguments))
    return Call(name, paths) if paths[0].startswith("/") else None  # a pipe is no file


def _paths(pid: int, name: str, arguments: list[int]) -> list[str]:
    if name in ("write", "fsync", "fdatasync", "ftruncate"):
        return [str(Path(f"/proc/{pid}/fd/{arguments[0]}").readlink())]
    if name in ("rename", "link"):
        return [_text(pid, arguments[0]), _text(pid, arguments[1])]
    if name in ("renameat", "renameat2", "linkat"):
        return [_at(pid, *arguments[:2]), _at(pid, *arguments[2:4])]
    if name.endswith("at"):
        return [_at(pid, *arguments[:2])]
    return [_text(pid, arguments[0])]


def _at(pid: int, folder: int, address: int) -> str:
    number = ctypes.c_int32(folder & 0xFFFFFFFF).value
    base = f"/proc/{pid}/cwd" if number == -100 else f"/proc/{pid}/fd/{number}"
    return str(Path(base).readlink() / _text(pid, address))


def _text(pid: int, address: int) -> str:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return os.fsdecode(memory.read(4096).split(b"\0")[0])


def _to_deliver(status: int) -> int:
    """Return the signal to pass on; stops at calls and at the start of a thread are the tracer's own."""
    number = os.WSTOPSIG(status)
    return 0 if number & 0x7F in (signal.SIGTRAP, signal.SIGSTOP) else number
