"""The identity of a process: pids are reused, but pid and start time together are unique; and where it works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_SAME_S = 1.0  # start times are in ticks after a boot time that is rounded to the second


def started_at(pid: int | None = None) -> float:
    """Return when a process, this one by default, started, in seconds since 1970.

    Raises:
        psutil.NoSuchProcess: there is none of that pid.
    """
    return float(psutil.Process(os.getpid() if pid is None else pid).create_time())


def find_process(pid: int, started: float) -> psutil.Process | None:
    """Return the process of that pid if it is the one that started then and has not ended, else None."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < _SAME_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def works_in(process: psutil.Process, folder: Path) -> bool:
    """Return whether a process works in that very folder (device and inode), by whatever path either knows it.

    The kernel says so and follows a folder that is moved; a copy of what the process wrote about itself proves nothing.
    """
    try:
        return Path(process.cwd()).samefile(folder)
    except (OSError, psutil.Error):  # it has ended, is another user's, or its folder was removed
        return False


def folder_of(process: psutil.Process) -> str:
    """Return the path of the folder that a process works in, for a message."""
    try:
        return process.cwd()
    except psutil.Error:
        return "another folder"


class HeldFolder:
    """A folder by device and inode, whatever its path: kept open, so that no other one gets them."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor  # None: there was none

    def is_at(self, path: Path) -> bool:
        """Return whether the folder lies there."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def is_removed(self) -> bool:
        """Return whether it lies nowhere any more; the kernel knows the path of one that was moved."""
        return self._descriptor is None or not self.is_at(Path(f"/proc/self/fd/{self._descriptor}").readlink())


@contextmanager
def held_folder(path: Path) -> Iterator[HeldFolder]:
    """Keep a folder open until the block ends; where there is none it lies nowhere."""
    descriptor = None
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield HeldFolder(descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)
