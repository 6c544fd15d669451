"""Write like a database: temporary file, fsync, rename. Standard library only, so that training can use it anywhere.

What is published under a name is complete at every moment: after a kill between any two system calls, a reader and the
next run find the old or the new.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ecclip.errors import ServiceError

MANIFEST = "manifest.json"
_CONCURRENT_FLUSHES = (
    16  # disks merge concurrent flushes: measured, a folder of 1,900 photos takes 0.3 s instead of 8.5 s
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# of SQLite, and of programs that write the system's own words
_NO_SPACE_SIGNS = ("database or disk is full", *map(os.strerror, _NO_SPACE))
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)  # an old kernel, or a file system without exchange


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces that could differ, a final newline."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def sha256_bytes(data: bytes) -> str:
    """Return the hex sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hex sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_path(path: Path) -> None:
    """Flush a file or a folder entry to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes | str, mode: int = 0o666) -> None:
    """Write a whole file so that a reader sees the old content or the new one, never half.

    ``mode`` is what the file is created with, less the umask: a secret gives 0o600 and is never readable by others.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{threading.get_native_id()}")
    payload = data.encode() if isinstance(data, str) else data
    try:
        temporary.unlink(missing_ok=True)  # of a killed process that had the same number, perhaps with another mode
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # of a write the system does not say it
        raise
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)


def lack_of_space(error: BaseException) -> ServiceError | None:
    """Return what an error means that comes from a full disk, a quota or a limit of file sizes; None for any other.

    It may be the system's own, the cause of another one, or one of a library that kept its text alone.
    """
    one: BaseException | None = error
    seen: list[BaseException] = []
    while one is not None and one not in seen:
        seen.append(one)
        said = [line.strip() for line in str(one).splitlines() if any(sign in line for sign in _NO_SPACE_SIGNS)]
        if said or getattr(one, "errno", None) in _NO_SPACE:
            return ServiceError(
                "there is no space left on a disk",
                value=(said or [repr(one)])[0][-400:],
                next_step="free some (df -h shows which disk is full, /dev/shm among them), then run it again: what "
                "was finished stays, and nothing half written is left",
            )
        one = one.__cause__ or one.__context__
    return None


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in name order, manifest and Python caches left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST and "__pycache__" not in path.parts:
            yield path


def flush_folder(folder: Path) -> None:
    """Flush a folder, every file and every folder below it to disk."""
    below = (path for path in folder.rglob("*") if not path.is_symlink() and (path.is_file() or path.is_dir()))
    with ThreadPoolExecutor(_CONCURRENT_FLUSHES) as pool:
        list(pool.map(fsync_path, [*below, folder]))


def replace_folder(temporary: Path, final: Path) -> None:
    """Put a finished folder in place of ``final`` and remove what was there.

    The two change places in one step where the file system can do that. Elsewhere the old folder steps aside for a
    moment in which a reader finds nothing; :func:`recover_folder` brings it back after a kill in that moment.
    """
    flush_folder(temporary)
    if not os.path.lexists(final):
        temporary.rename(final)
        fsync_path(final.parent)
        return
    if not _exchange(temporary, final):
        _step_aside(temporary, final)
    fsync_path(final.parent)  # before the old one is removed: its removal must not reach the disk alone
    remove_tree(temporary)


def recover_folder(final: Path) -> list[Path]:
    """Clean up after a killed writer of ``final`` and return what was found; there must be no other writer.

    A folder that was moved aside is restored if nothing replaced it; all other leftovers are removed.
    """
    name = glob.escape(final.name)
    aside = sorted(final.parent.glob(f".{name}.old-*"))
    for path in aside:
        if os.path.lexists(final):
            remove_tree(path)
        else:
            path.rename(final)
            fsync_path(final.parent)
    leftovers = sorted(final.parent.glob(f".{name}.tmp-*"))
    for path in leftovers:
        remove_tree(path)
    return aside + leftovers


def link_or_copy(source: str, target: str) -> None:
    """Give a file that never changes another name; a copy where the file system has no links, or is another one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remove_tree(path: Path) -> None:
    """Remove a file or a folder with everything in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; return False where system or file system cannot do that."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    result = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    number = ctypes.get_errno()
    if result != 0 and number not in _NOT_SUPPORTED:
        raise OSError(number, os.strerror(number), str(one), None, str(other))
    return bool(result == 0)


def _step_aside(temporary: Path, final: Path) -> None:
    aside = final.with_name(f".{final.name}.old-{os.getpid()}")
    final.rename(aside)
    try:
        temporary.rename(final)
    except OSError:
        aside.rename(final)
        raise
    fsync_path(final.parent)
    aside.rename(temporary)  # under this name a half-removed folder is never restored
