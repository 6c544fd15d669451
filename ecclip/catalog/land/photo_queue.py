"""The photos that a night names, on disk: each address once and in order, with what the night before has of it.

A night may name more addresses than fit into memory. What was fetched from elsewhere waits in the same file until it is
packed, and stays there when the stage is stopped: the next attempt continues from it.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from ecclip.catalog.land.fetched import Fetched, PreviousPhoto
from ecclip.catalog.land.uris import PhotoAddress, photo_address, scheme_of
from ecclip.core import get_logger, now, sha256_bytes
from ecclip.formats.columns import IMAGE_SHA256

_FRESH = timedelta(days=1)  # older results of an interrupted attempt are fetched again; by judgment
_BATCH_ROWS = 1024  # per query; bounds the memory
_TABLES = """
pragma journal_mode = wal;
pragma synchronous = off;
drop table if exists named;
create table named (
    address text primary key, host text not null, problem text,
    sha256 text, bytes integer, validator text, part text
) without rowid;
create table if not exists fetched (
    address text unique not null, image blob, sha256 text, validator text, error text, at text not null
);
delete from fetched where image is null;
"""
_QUEUED = """
select named.address, host, problem, named.sha256, bytes, named.validator, part,
       fetched.address, image, fetched.sha256, fetched.validator, error
from named left join fetched on fetched.address = named.address order by named.address
"""
_WAITING = "named.host != '' and problem is null and fetched.address is null"
_NOT_FETCHED = f"from named left join fetched on fetched.address = named.address where {_WAITING}"


class QueuedPhoto(NamedTuple):
    """One address with its photo, or with None where the path is still to be read."""

    address: str
    known: PreviousPhoto | None
    photo: Fetched | None


class PhotoQueue:
    """A database in ``folder``, which is created; at most ``most_bytes`` of fetched photos wait in it."""

    def __init__(self, folder: Path, allowed_schemes: Iterable[str], most_bytes: int) -> None:
        self._allowed, self._most_bytes = set(allowed_schemes), most_bytes
        self._db = _open(folder)
        self._db.execute("delete from fetched where at < ?", ((now() - _FRESH).isoformat(),))
        self.resumed, self._bytes = self._db.execute(
            "select count(*), coalesce(sum(length(image)), 0) from fetched"
        ).fetchone()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.commit()
        self._db.close()

    def add(self, texts: Iterable[str]) -> None:
        """Add the addresses in texts of listings."""
        self._db.executemany("insert or ignore into named (address, host, problem) values (?, ?, ?)", self._rows(texts))
        self._db.commit()

    def add_previous(self, entries: Iterable[dict[str, Any]]) -> None:
        """Add what the night before landed: rows of its table of photos."""
        rows = (
            (row[IMAGE_SHA256], row["bytes"], row["validator"], row["part"], row["image_uri"])
            for row in entries
            if row["part"] is not None
        )
        self._db.executemany("update named set sha256 = ?, bytes = ?, validator = ?, part = ? where address = ?", rows)
        self._db.commit()

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from named").fetchone()[0])

    def hosts(self) -> dict[str, int]:
        """Return how many photos are to be fetched from each host."""
        return dict(self._db.execute(f"select host, count(*) {_NOT_FETCHED} group by host").fetchall())

    def pending(self, host: str) -> Iterator[tuple[str, PreviousPhoto | None]]:
        """Yield the photos that are to be fetched from a host; more may be stored meanwhile."""
        after = ""
        query = f"select named.address, named.sha256, bytes, named.validator, part {_NOT_FETCHED}"
        query += " and host = ? and named.address > ? order by named.address limit ?"
        while rows := self._db.execute(query, (host, after, _BATCH_ROWS)).fetchall():
            for address, *entry in rows:
                yield address, _previous(*entry)
            after = rows[-1][0]

    def is_full(self) -> bool:
        """Return whether no more fetched photos may wait."""
        return self._bytes >= self._most_bytes

    def store(self, photo: Fetched) -> None:
        """Store the result of fetching a photo."""
        values = (photo.uri, photo.image, photo.sha256, photo.validator, photo.error, now().isoformat())
        self._db.execute("insert or replace into fetched values (?, ?, ?, ?, ?, ?)", values)
        self._bytes += len(photo.image or b"")
        self._db.commit()  # cheap without fsync, and a killed process loses nothing

    def in_order(self) -> Iterator[QueuedPhoto]:
        """Yield every address in order."""
        for row in self._db.execute(_QUEUED):
            yield _queued(*row)

    def _rows(self, texts: Iterable[str]) -> Iterator[tuple[str, str, str | None]]:
        for text in texts:
            found = photo_address(text)
            host, problem = _host_of(found, self._allowed)
            yield found.address, host, problem


def _open(folder: Path) -> sqlite3.Connection:
    for again in (True, False):
        folder.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(folder / "photos.sqlite")
        try:
            db.executescript(_TABLES)
            return db
        except sqlite3.DatabaseError as error:
            db.close()
            if not again:
                raise
            get_logger().warning("what was fetched cannot be read and is fetched again", error=str(error))
            shutil.rmtree(folder)
    raise AssertionError("unreachable")


def _host_of(found: PhotoAddress, allowed: set[str]) -> tuple[str, str | None]:
    """Return the host to fetch an address from ("": the dump), and why it is not fetched."""
    if found.problem is not None:
        return "", found.problem
    scheme = scheme_of(found.address)
    if not scheme:
        return "", None
    if scheme not in allowed:
        return "", "outside_dump"
    return f"{scheme}://{urlsplit(found.address).netloc.rpartition('@')[2]}", None


def _previous(sha256: str | None, size: int | None, validator: str | None, part: str | None) -> PreviousPhoto | None:
    return None if sha256 is None or size is None or part is None else PreviousPhoto(sha256, size, validator, part)


def _queued(
    address: str, host: str, problem: str | None, sha256: str | None, size: int | None, validator: str | None,
    part: str | None, asked: str | None, image: bytes | None, digest: str | None, tag: str | None, error: str | None,
) -> QueuedPhoto:  # fmt: skip
    known = _previous(sha256, size, validator, part)
    if problem is not None or error is not None:
        return QueuedPhoto(address, known, Fetched.refused(address, str(problem or error)))
    if not host:
        return QueuedPhoto(address, known, None)
    if asked is None or (image is not None and sha256_bytes(image) != digest):
        return QueuedPhoto(address, known, Fetched.refused(address, "fetch_failed"))
    same = known if known is not None and known.sha256 == digest else None
    return QueuedPhoto(address, known, Fetched(address, image, digest, tag, same, None))
