"""Start a program in its own session, optionally with arguments that no other user can read.

Every user can read the command line of a process (``/proc/<pid>/cmdline``), but only its owner the environment. A
program with arguments :data:`PLACEHOLDER` is stopped before its first instruction, and the pointer to each of them is
redirected into the environment: the program reads the secret, the command line shows ``(hidden)``.

Run as a separate program (``launcher.py LOG COMMAND...``, the secrets in the environment), it prints the pid, and then
``visible`` if the system does not allow a process to trace its child. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path

_VARIABLE, PLACEHOLDER = "ECCLIP_HIDDEN_ARGUMENT", "(hidden)"
_TRACEME, _DETACH = 0, 17  # linux/ptrace.h
_REFUSED, _FAILED = 126, 127  # exit codes that shells use for a command that cannot be run
_START_STACK, _ENV_START, _ENV_END = 25, 47, 48  # proc(5), fields 28, 50 and 51 of stat, counted from the state on
_WORD = struct.calcsize("P")


def start(command: list[str], log: str) -> tuple[int, bool]:
    """Start a command in its own session and return its pid, and whether its secrets, if any, are hidden.

    Its output is appended to ``log``. Files that it creates are private to their owner.

    Raises:
        OSError: the program cannot be started.
    """
    if PLACEHOLDER not in command:
        return _start(command, log), True
    pid = _start_hidden(command, log)
    if pid is not None:
        return pid, True
    secrets = {place: os.environ[name] for place, name in _places(command).items()}
    return _start([secrets.get(place, word) for place, word in enumerate(command)], log), False


def variable(number: int) -> str:
    """Return the environment variable that holds the secret of a command's placeholder ``number``, from 0 on."""
    return f"{_VARIABLE}_{number}"


def _places(command: list[str]) -> dict[int, str]:
    """Return the place of each placeholder in a command, and the variable of its secret."""
    places = [place for place, word in enumerate(command) if word == PLACEHOLDER]
    return {place: variable(number) for number, place in enumerate(places)}


def _start(command: list[str], log: str) -> int:
    outcome, report = os.pipe()  # closed when the program starts: bytes in it are the reason why it did not
    pid = os.fork()
    if pid == 0:
        _exec(command, log, report)
    os.close(report)
    with os.fdopen(outcome, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(f"{command[0]} cannot be started: {failure.decode()}")
    return pid


def _start_hidden(command: list[str], log: str) -> int | None:
    """Return the pid, or None if the system does not allow a process to trace its child."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    pid = os.fork()
    if pid == 0:
        if libc.ptrace(_TRACEME, 0, None, None) != 0:
            os._exit(_REFUSED)
        _exec(command, log)
    _, status = os.waitpid(pid, 0)
    if os.WIFSTOPPED(status):
        for place, name in _places(command).items():
            _redirect(pid, place, name)
        libc.ptrace(_DETACH, pid, None, None)
        return pid
    if os.waitstatus_to_exitcode(status) != _REFUSED:
        raise OSError(f"{command[0]} cannot be started")
    return None


def _exec(command: list[str], log: str, report: int | None = None) -> None:
    try:
        os.umask(0o077)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
        os.dup2(1, 2)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and ignored signals are inherited
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvp(command[0], command)
    except OSError as error:
        if report is not None:
            os.write(report, str(error).encode())
    finally:
        os._exit(_FAILED)


def _redirect(pid: int, index: int, variable_name: str) -> None:
    """Make argument ``index`` of a process that has not begun point to the value of a variable of its environment."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    stack, begin, end = (int(fields[number]) for number in (_START_STACK, _ENV_START, _ENV_END))
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(begin)
        name = f"{variable_name}=".encode()
        offset = (b"\0" + memory.read(end - begin)).index(b"\0" + name)
        memory.seek(stack + _WORD * (1 + index))  # the count of arguments lies before the first one
        memory.write(struct.pack("P", begin + offset + len(name)))


if __name__ == "__main__":
    started, hidden = start(sys.argv[2:], sys.argv[1])
    sys.stdout.write(f"{started}{'' if hidden else ' visible'}\n")
